package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
)

func (e *Etcd) parseAuthorities(file string) (string, error) {
	if _, err := etcd.ReadAuthorities(e.authorities.hidePEM(file)); err != nil {
		return "", fmt.Errorf("%w; give the certificates, in PEM, of the authorities that sign etcd's", err)
	}
	return file, nil
}

func (e *Etcd) parseKey(file string) (string, error) {
	if !isPath(file) && filepath.Ext(file) == "" { // a key in base64 has no dot
		e.key.shown = "…"
	}
	return e.key.hidePEM(file), nil
}

func (e *Etcd) checkCertificate() {
	switch {
	case !e.cert.isGiven() && !e.key.isGiven():
	case !e.cert.isGiven():
		e.key.blamef("a key without a certificate; give --etcd-cert too")
	case !e.key.isGiven():
		e.cert.blamef("a certificate without its key; give --etcd-key too")
	default:
		_, certErr, keyErr := etcd.ReadCertificate(e.cert.Value, e.key.Value)
		if certErr != nil {
			e.cert.blamef("%w; give the certificate, in PEM, that etcd is to be shown", certErr)
		}
		if keyErr != nil {
			e.key.blamef("%w; give the key, in PEM, of the certificate in --etcd-cert", keyErr)
		}
	}
}

func (e *Etcd) parsePasswordFile(file string) (string, error) {
	if _, err := etcd.ReadPassword(file); err != nil {
		err = fmt.Errorf("%w; give a file with the password of the user in --etcd-user", err)
		if !isPath(file) {
			e.passwordFile.shown = "…"
		}
		return "", err
	}
	return file, nil
}

// isPath says whether a text is the path of a file that is there, or could be: in a folder
// the first part of whose path is there. Else it may be what such a file holds, a password or a
// key, which is not to be shown.
func isPath(text string) bool {
	if _, err := os.Stat(text); err == nil {
		return true
	}
	root := ""
	if strings.HasPrefix(text, "/") {
		root = "/"
	}
	first, _, nested := strings.Cut(text[len(root):], "/")
	if !nested || !record.IsPlain(text) {
		return false
	}
	folder, err := os.Stat(root + first)
	return err == nil && folder.IsDir()
}

// hidePEM keeps what a file should hold, in its path's place, out of messages: beside a
// certificate there may be its key.
func (f *setting) hidePEM(text string) string {
	if strings.Contains(text, "-----") {
		f.shown = "…"
	}
	return text
}
