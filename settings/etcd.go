package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
)

// passwordEnv is no setting: a flag's value shows in the process list.
const passwordEnv = "DOCKREG_ETCD_PASSWORD" //nolint:gosec // the name of one

// Etcd says where etcd is, and how to be let in.
type Etcd struct {
	set          *Set
	urls         *Setting[etcdURLs]
	domain       *Setting[string]
	authorities  *Setting[string]
	cert, key    *Setting[string]
	serverName   *Setting[string]
	user         *Setting[string]
	passwordFile *Setting[string]
}

// Etcd adds the settings of how to talk to etcd.
func (s *Set) Etcd() *Etcd {
	e := &Etcd{set: s}
	e.urls = addList(s, define(groupWhere, "etcd", "URLS", "", "etcd's members, comma-separated or repeated: http://host:port,\nhttps://host:port or host:port; required, unless there is\n--etcd-discovery-srv"), e.parseURLs)
	e.domain = add(s, define(groupWhere, "etcd-discovery-srv", "DOMAIN", "", "in place of --etcd: domain whose DNS SRV records name etcd's\nmembers, _etcd-client-ssl._tcp.DOMAIN or _etcd-client._tcp.DOMAIN"), e.parseDomain)
	e.authorities = add(s, define(groupAccess, "etcd-cacert", "FILE", "", "certificates, in PEM, of the authorities to trust with etcd's\ncertificate, instead of the system's"), e.parseAuthorities)
	e.cert = add(s, define(groupAccess, "etcd-cert", "FILE", "", "certificate, in PEM, to show to etcd; with --etcd-key"), func(file string) (string, error) { return e.cert.hidePEM(file), nil })
	e.key = add(s, define(groupAccess, "etcd-key", "FILE", "", "the key of that certificate, in PEM"), e.parseKey)
	e.serverName = add(s, define(groupAccess, "etcd-server-name", "NAME", "", "name to check etcd's certificate for, instead of the URL's host"), parseServerName)
	e.user = add(s, define(groupAccess, "etcd-user", "NAME", "", "user to authenticate as"), parseUser)
	e.passwordFile = add(s, define(groupAccess, "etcd-password-file", "FILE", "", "file that holds the user's password; or give the password in the\nenvironment, as "+passwordEnv), e.parsePasswordFile)

	s.advise(etcd.ErrMaybeTLS, "if it speaks TLS, give https:// in --etcd; or it is no etcd")
	s.advise(etcd.ErrMaybePlain, "if it speaks no TLS, give http:// in --etcd")
	s.advise(etcd.ErrFile, "see --etcd-cacert, --etcd-cert, --etcd-key and --etcd-password-file")
	s.advise(etcd.ErrNoCertificate, "give --etcd-cert and --etcd-key")
	s.advise(etcd.ErrCertificate, "see --etcd-cert; etcd's log says why")
	s.advise(etcd.ErrNoUser, "give --etcd-user, with --etcd-password-file or %s", passwordEnv)
	return e
}

// Config returns what package etcd needs, once the settings have been read.
func (e *Etcd) Config() etcd.Config {
	if !e.domain.isGiven() {
		e.urls.require("give etcd's address, such as --etcd http://10.1.0.101:2379, or --etcd-discovery-srv")
	}
	e.checkCertificate()
	_, tls := e.scheme()
	c := etcd.Config{
		Endpoints:    e.urls.Value.urls,
		DiscoverySRV: e.domain.Value,
		DiscoveryTLS: tls != "",
		CACertFile:   e.authorities.Value,
		CertFile:     e.cert.Value,
		KeyFile:      e.key.Value,
		ServerName:   e.serverName.Value,
		Username:     e.urls.Value.user,
		Password:     e.urls.Value.password,
	}
	by := "DOCKREG_ETCD"
	if e.checkUser() {
		c.Username, c.Password, c.PasswordFile = e.user.Value, os.Getenv(passwordEnv), e.passwordFile.Value
		if by = passwordEnv; c.PasswordFile != "" {
			by = e.passwordFile.label()
		}
		e.user.shown = c.Username + ", with the password in " + by
	}
	authority, name := "give the certificate of the one that signed it as --etcd-cacert", "if it is the right etcd, give a name of it as --etcd-server-name"
	if e.authorities.isGiven() {
		authority = "trusted are those in " + e.authorities.label()
	}
	if e.serverName.isGiven() {
		name = "the name wanted is the one in " + e.serverName.label()
	}
	e.set.advise(etcd.ErrAuthority, "%s", authority)
	e.set.advise(etcd.ErrName, "%s", name)
	e.set.advise(etcd.ErrPassword, "the password is the one in %s", by)
	return c
}

// scheme is that of members given without one; with TLS comes which setting says that
// there is to be TLS: each of these does by itself.
func (e *Etcd) scheme() (scheme, label string) {
	for _, f := range []*Setting[string]{e.authorities, e.cert, e.key, e.serverName} {
		if f.isGiven() {
			return "https://", f.label()
		}
	}
	return "http://", ""
}

// parseDomain reads whose SRV records name the members.
func (e *Etcd) parseDomain(text string) (string, error) {
	switch {
	case e.urls.isGiven():
		return "", fmt.Errorf("a second way to find etcd, beside %s; give one of them", e.urls.label())
	case isIP(text) || !hostName.MatchString(strings.TrimSuffix(text, ".")):
		return "", errors.New("not a domain; give the one whose SRV records name etcd's members, such as example.org")
	}
	return text, nil
}

func parseServerName(text string) (string, error) {
	if !isIP(text) && !hostName.MatchString(text) {
		return "", errors.New("not a host's name or IP; give one that etcd's certificate is for, without a port")
	}
	return text, nil
}

func parseUser(text string) (string, error) {
	name, _, colon := strings.Cut(text, ":")
	switch {
	case colon: // what follows is a password, most likely
		return "", quotef(name+":…", "a colon in the user's name; give the name alone, and the password by --etcd-password-file or %s", passwordEnv)
	case name == "" || !record.IsPlain(name):
		return "", errors.New("empty, or not plain text; give the name of a user that etcd knows")
	}
	return name, nil
}

// checkUser holds the ways to name a user and a password against each other. It says
// whether they are those of --etcd-user.
func (e *Etcd) checkUser() bool {
	user, file, variable := e.user, e.passwordFile, os.Getenv(passwordEnv)
	inURL := e.urls.Value.user != ""
	if !utf8.ValidString(variable) {
		e.set.mistake("%s: not UTF-8, which etcd wants of a password", passwordEnv)
	}
	switch {
	case user.isGiven() && user.wrong:
	case user.isGiven() && inURL:
		user.blamef("a second user, beside the one in DOCKREG_ETCD; give one of them")
	case user.isGiven() && !file.isGiven() && variable == "":
		user.blamef("a user without a password; give --etcd-password-file, or %s in the environment", passwordEnv)
	}
	switch {
	case file.isGiven() && variable != "":
		file.blamef("a second password, beside %s; give one of them", passwordEnv)
	case inURL && !user.isGiven() && file.isGiven():
		file.blamef("a second password, beside the one in DOCKREG_ETCD; give one of them")
	case inURL && !user.isGiven() && variable != "":
		e.set.mistake("%s: a second password, beside the one in DOCKREG_ETCD; give one of them", passwordEnv)
	case !user.isGiven() && file.isGiven():
		file.blamef("a password without a user; give --etcd-user too")
	case !user.isGiven() && variable != "":
		e.set.mistake("%s: a password without a user; give --etcd-user too", passwordEnv)
	}
	return user.isGiven()
}

// etcdURLs is what --etcd says.
type etcdURLs struct {
	urls           []string // with nothing secret in them
	user, password string
}

// parseURLs notes all that is wrong with the list, address by address.
func (e *Etcd) parseURLs(texts []string) (found etcdURLs, _ error) {
	fix := "give http://host:port, https://host:port or host:port, such as http://10.1.0.101:2379"
	list := strings.Join(texts, ",")
	secret := strings.Contains(list, "@")
	if secret {
		fix += "; in a password write a comma as %2C, an @ as %40 and a / as %2F"
	}
	schemes, users := map[string]bool{}, map[string]bool{}
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		u, err := e.parseURL(text)
		if err != nil {
			shown := redact(text)
			if secret && shown == text && text != "" {
				shown = "…" // it may be half of a password with a comma in it
			}
			switch noPort := errors.Is(err, errNoPort); {
			case noPort && !secret:
				err = fmt.Errorf("%w; give %s", err, withPort(text, u))
			case u == nil, noPort:
				err = fmt.Errorf("%w; %s", err, fix)
			}
			e.urls.blame(quotef(shown, "%w", err))
		}
		if u == nil {
			continue
		}
		schemes[u.Scheme] = true
		if u.User != nil {
			users[u.User.String()] = true
			found.user = u.User.Username()
			found.password, _ = u.User.Password()
		}
		found.urls = append(found.urls, u.Scheme+"://"+u.Host)
	}
	all := strings.Join(found.urls, ",")
	if len(schemes) > 1 {
		e.urls.blame(quotef(all, "http and https mixed; give all members with the same one"))
	}
	if len(users) > 1 {
		e.urls.blame(quotef(all, "more than one user or password; give all members the same one"))
	}
	if e.urls.shown = all; found.user != "" {
		e.urls.shown += " as user " + found.user + ", with a password"
	}
	return found, nil
}

var errNoPort = errors.New("no port")

// withPort returns what a URL without a port was probably meant to be.
func withPort(text string, u *url.URL) string {
	host := net.JoinHostPort(u.Hostname(), "2379")
	if !strings.Contains(text, "://") {
		return host
	}
	return u.Scheme + "://" + host
}

// withZone is what has an IPv6 address with a zone in it: gRPC takes it for none.
var withZone = regexp.MustCompile(`\[[0-9a-fA-F:.]+%`)

// parseURL returns the URL of a member, also if there is something else wrong with it.
func (e *Etcd) parseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("nothing is there, as between two commas, or where a variable is not set")
	}
	scheme, tls := e.scheme()
	if !strings.Contains(text, "://") {
		text = scheme + text
	}
	u, err := url.Parse(text)
	switch {
	case withZone.MatchString(text):
		return nil, errors.New("an IPv6 address with a zone, which can't be dialled; give a global one, or a name")
	case err != nil, !utf8.ValidString(text): // which no metric can name
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("etcd is not spoken to by %s://", u.Scheme)
	case u.Hostname() != "" && u.Port() == "" && strings.TrimSuffix(u.RequestURI(), "/") == "" && u.Fragment == "":
		return u, errNoPort
	case u.Hostname() == "" || !isPort(u.Port()):
		return nil, errors.New("no host, or no port from 1 to 65535")
	case strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("more than a host and a port")
	}
	switch password, _ := u.User.Password(); {
	case u.User != nil && strings.HasPrefix(e.urls.label(), "--"):
		return u, errors.New("the process list shows a password in a flag; give the URLs in the environment, as DOCKREG_ETCD")
	case u.User != nil && (u.User.Username() == "" || password == ""):
		return u, errors.New("a user without a password, or the other way round; give http://user:password@host:port")
	case u.Scheme == "http" && tls != "":
		return u, fmt.Errorf("http is without TLS, which %s is for; give https:// or leave it away", tls)
	}
	return u, nil
}
