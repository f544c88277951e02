package main

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"dockreg/etcdreg"
)

// passwordEnv is no setting: a flag's value shows in the process list.
const passwordEnv = "DOCKREG_ETCD_PASSWORD" //nolint:gosec // the name of one

// etcd reads all that is about talking to etcd, and how it is shown.
func (p parser) etcd() (c etcdreg.Config, shown map[string]string) {
	urls := p.endpoints()
	_, tls := p.tls()
	c = etcdreg.Config{
		Endpoints:    urls.urls,
		DiscoverySRV: p.domain(),
		DiscoveryTLS: tls != "",
		Username:     urls.user,
		Password:     urls.password,
		CACertFile:   p.authorities(),
		ServerName:   p.serverName(),
	}
	c.CertFile, c.KeyFile = p.certificate()
	shown = map[string]string{"etcd": urls.String()}
	if by := p.user(&c); by != "" {
		shown["etcd-user"] = c.Username + ", with the password in " + by
	}
	return c, shown
}

// tls returns the scheme of members given without one, and which setting says that
// there is to be TLS: each of these does by itself.
func (p parser) tls() (scheme, label string) {
	for _, name := range []string{"etcd-cacert", "etcd-cert", "etcd-key", "etcd-server-name"} {
		if v := p.value(name); v.given {
			return "https://", v.label
		}
	}
	return "http://", ""
}

// domain returns whose SRV records name the members, "" if --etcd does.
func (p parser) domain() string {
	v, urls := p.value("etcd-discovery-srv"), p.value("etcd")
	if !v.given {
		p.require("etcd", "give etcd's address, such as --etcd http://10.1.0.101:2379, or --etcd-discovery-srv")
		return ""
	}
	switch _, err := netip.ParseAddr(v.text); {
	case urls.given:
		p.wrong.blame(v, "a second way to find etcd, beside %s; give one of them", urls.label)
	case err == nil || !hostName.MatchString(strings.TrimSuffix(v.text, ".")):
		p.wrong.blame(v, "not a domain; give the one whose SRV records name etcd's members, such as example.org")
	}
	return v.text
}

func (p parser) authorities() string {
	v := p.value("etcd-cacert")
	if v.given {
		if _, err := etcdreg.ReadAuthorities(v.text); err != nil {
			p.wrong.blame(v, "%s; give the certificates, in PEM, of the authorities that sign etcd's", err)
		}
	}
	return v.text
}

func (p parser) certificate() (certFile, keyFile string) {
	cert, key := p.value("etcd-cert"), p.value("etcd-key")
	switch {
	case !cert.given && !key.given:
	case !cert.given:
		p.wrong.blame(key, "a key without a certificate; give --etcd-cert too")
	case !key.given:
		p.wrong.blame(cert, "a certificate without its key; give --etcd-key too")
	default:
		_, certErr, keyErr := etcdreg.ReadCertificate(cert.text, key.text)
		if certErr != nil {
			p.wrong.blame(cert, "%s; give the certificate, in PEM, that etcd is to be shown", certErr)
		}
		if keyErr != nil {
			p.wrong.blame(key, "%s; give the key, in PEM, of the certificate in --etcd-cert", keyErr)
		}
	}
	return cert.text, key.text
}

// hostName is what a certificate may be for, if it is no IP.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$`)

func (p parser) serverName() string {
	v := p.value("etcd-server-name")
	if _, err := netip.ParseAddr(v.text); v.given && err != nil && !hostName.MatchString(v.text) {
		p.wrong.blame(v, "not a host's name or IP; give one that etcd's certificate is for, without a port")
	}
	return v.text
}

// user sets the user and the password in c, which has those of the URLs. It returns
// where a password comes from that belongs to --etcd-user.
func (p parser) user(c *etcdreg.Config) (by string) {
	user, file, variable := p.value("etcd-user"), p.value("etcd-password-file"), p.getenv(passwordEnv)
	inURL := c.Username != ""
	if file.given {
		if _, err := etcdreg.ReadPassword(file.text); err != nil {
			if !strings.Contains(file.text, "/") {
				file.text = "…" // the password itself, perhaps
			}
			p.wrong.blame(file, "%s; give a file with the password of the user in --etcd-user", err)
		}
	}
	if !utf8.ValidString(variable) {
		p.wrong.add("", "%s: not UTF-8, which etcd wants of a password", passwordEnv)
	}
	switch name, _, colon := strings.Cut(user.text, ":"); {
	case colon:
		user.text = name + ":…" // a password, most likely
		p.wrong.blame(user, "a colon in the user's name; give the name alone, and the password by --etcd-password-file or %s", passwordEnv)
	case user.given && (name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl)):
		p.wrong.blame(user, "empty, or not plain text; give the name of a user that etcd knows")
	case user.given && inURL:
		p.wrong.blame(user, "a second user, beside the one in DOCKREG_ETCD; give one of them")
	case user.given && !file.given && variable == "":
		p.wrong.blame(user, "a user without a password; give --etcd-password-file, or %s in the environment", passwordEnv)
	}
	switch {
	case file.given && variable != "":
		p.wrong.blame(file, "a second password, beside %s; give one of them", passwordEnv)
	case inURL && !user.given && file.given:
		p.wrong.blame(file, "a second password, beside the one in DOCKREG_ETCD; give one of them")
	case inURL && !user.given && variable != "":
		p.wrong.add("", "%s: a second password, beside the one in DOCKREG_ETCD; give one of them", passwordEnv)
	case !user.given && file.given:
		p.wrong.blame(file, "a password without a user; give --etcd-user too")
	case !user.given && variable != "":
		p.wrong.add("", "%s: a password without a user; give --etcd-user too", passwordEnv)
	}
	if !user.given {
		return ""
	}
	c.Username, c.Password, c.PasswordFile = user.text, variable, file.text
	if file.given {
		return file.label
	}
	return passwordEnv
}

// etcdURLs is what --etcd says.
type etcdURLs struct {
	urls           []string // with nothing secret in them
	user, password string
}

func (e etcdURLs) String() string {
	s := strings.Join(e.urls, ",")
	if e.user != "" {
		s += " as user " + e.user + ", with a password"
	}
	return s
}

func (p parser) endpoints() etcdURLs {
	var found etcdURLs
	v := p.value("etcd")
	if !v.given {
		return found
	}
	scheme, tls := p.tls()
	mend := "give http://host:port, https://host:port or host:port, such as http://10.1.0.101:2379"
	secret := strings.Contains(v.text, "@")
	if secret {
		mend += "; in a password write a comma as %2C, an @ as %40 and a / as %2F"
	}
	schemes := map[string]bool{}
	users := map[string]*url.Userinfo{}
	for text := range strings.SplitSeq(v.text, ",") {
		text = strings.TrimSpace(text)
		one := v
		if one.text = redact(text); secret && one.text == text {
			one.text = "…" // it may be half of a password with a comma in it
		}
		if text == "" {
			p.wrong.blame(one, "an empty address in the list; %s", mend)
			continue
		}
		whole := text
		if !strings.Contains(text, "://") {
			whole = scheme + text
		}
		u, err := url.Parse(whole)
		switch {
		case err != nil:
			p.wrong.blame(one, "not a URL; %s", mend)
			continue
		case u.Scheme != "http" && u.Scheme != "https":
			p.wrong.blame(one, "etcd is not spoken to by %s://; %s", u.Scheme, mend)
			continue
		case u.Hostname() == "" || !isPort(u.Port()):
			p.wrong.blame(one, "no host, or no port from 1 to 65535; %s", mend)
			continue
		case strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			p.wrong.blame(one, "more than a host and a port; %s", mend)
			continue
		}
		if u.Scheme == "http" && tls != "" {
			p.wrong.blame(one, "http is without TLS, which %s is for; give https:// or leave it away", tls)
		}
		schemes[u.Scheme] = true
		if u.User != nil {
			users[u.User.String()] = u.User
			found.user = u.User.Username()
			found.password, _ = u.User.Password()
			switch {
			case strings.HasPrefix(v.label, "--"):
				p.wrong.blame(one, "the process list shows a password in a flag; give the URLs in the environment, as DOCKREG_ETCD")
			case found.user == "" || found.password == "":
				p.wrong.blame(one, "a user without a password, or the other way round; give http://user:password@host:port")
			}
		}
		found.urls = append(found.urls, u.Scheme+"://"+u.Host)
	}
	v.text = strings.Join(found.urls, ",")
	if len(schemes) > 1 {
		p.wrong.blame(v, "http and https mixed; give all members with the same one")
	}
	if len(users) > 1 {
		p.wrong.blame(v, "more than one user or password; give all members the same one")
	}
	return found
}
