package etcd

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"unicode/utf8"
)

// ReadAuthorities reads a bundle of certificates in PEM. Its error is what is wrong
// with the file, without its name.
func ReadAuthorities(file string) (*x509.CertPool, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	found, err := certificates(text)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range found {
		pool.AddCert(c)
	}
	return pool, nil
}

// ReadCertificate reads a certificate, with the chain behind it if there is one, and
// its key, both in PEM. Its errors are what is wrong with either file, without its
// name; there is a certificate only if both are nil.
func ReadCertificate(certFile, keyFile string) (pair *tls.Certificate, certErr, keyErr error) {
	cert, certErr := readFile(certFile)
	if certErr == nil {
		_, certErr = certificates(cert)
	}
	key, keyErr := readFile(keyFile)
	switch {
	case keyErr != nil:
	case bytes.Contains(key, []byte("ENCRYPTED")):
		keyErr = errors.New("an encrypted key, which nobody is there to type the passphrase for; give it unencrypted")
	case !bytes.Contains(key, []byte("PRIVATE KEY-----")):
		keyErr = errors.New("no private key in PEM in it")
	case certErr == nil:
		both, err := tls.X509KeyPair(cert, key)
		if err == nil {
			return &both, nil, nil
		}
		keyErr = errors.New("a broken key, or one that doesn't belong to the certificate")
	}
	return nil, certErr, keyErr
}

// ReadPassword reads a password, less one newline at its end. Its error is what is
// wrong with the file, without its name.
func ReadPassword(file string) (string, error) {
	text, err := readFile(file)
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case password == "":
		return "", errors.New("empty; write the password into it")
	case !utf8.ValidString(password):
		return "", errors.New("not UTF-8, which etcd wants of a password")
	}
	return password, nil
}

// readFile reads a file that is there to be read again later, which a pipe is not.
func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file")
	case err == nil && info.IsDir():
		return nil, errors.New("a folder, not a file")
	case err == nil && !info.Mode().IsRegular():
		return nil, errors.New("not a regular file, which could be read again")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("can't be read: " + words(err))
	}
	return text, nil
}

// certificates returns those in text, at least one. One that is broken or cut off
// is an error, and not passed over.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	begun := bytes.Count(text, []byte("-----BEGIN "))
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		begun--
		if block.Type != "CERTIFICATE" {
			continue // some keep the key in the same file
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("a certificate in it is broken")
		}
		found = append(found, c)
	}
	switch {
	case begun > 0:
		return nil, errors.New("a certificate in it is broken or cut off")
	case len(found) == 0:
		return nil, errors.New("no certificate in PEM in it")
	}
	return found, nil
}

// contents are those of the files that a Config names, as they last were right.
type contents struct {
	authorities *x509.CertPool   // nil: the system's
	pair        *tls.Certificate // nil: none
	password    string
}

// files reads the files that a Config names again and again: they are renewed while
// dockreg runs. It is safe for concurrent use.
type files struct {
	Config
	mu   sync.Mutex
	good contents
}

// latest reads the files again. One that is missing or half-written, because it is
// just being replaced, counts as it last was right; that it never was is an error.
func (f *files) latest() (contents, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.CACertFile != "" {
		pool, err := ReadAuthorities(f.CACertFile)
		if err == nil {
			f.good.authorities = pool
		} else if f.good.authorities == nil {
			return contents{}, faultf(ErrFile, "authorities in %q: %w", f.CACertFile, err)
		}
	}
	if f.CertFile != "" {
		pair, certErr, keyErr := ReadCertificate(f.CertFile, f.KeyFile)
		switch {
		case pair != nil:
			f.good.pair = pair
		case f.good.pair != nil:
		case certErr != nil:
			return contents{}, faultf(ErrFile, "certificate in %q: %w", f.CertFile, certErr)
		default:
			return contents{}, faultf(ErrFile, "key in %q: %w", f.KeyFile, keyErr)
		}
	}
	f.good.password = cmp.Or(f.good.password, f.Password)
	if f.PasswordFile != "" {
		password, err := ReadPassword(f.PasswordFile)
		if err == nil {
			f.good.password = password
		} else if f.good.password == "" {
			return contents{}, faultf(ErrFile, "password in %q: %w", f.PasswordFile, err)
		}
	}
	return f.good, nil
}
