package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Verify checks records of this kind, from Records or from elsewhere, against what its
// consumers read: the key has to be one of the kind's, and the value in its format.
func (k Kind) Verify(records []Record) error {
	for _, r := range records {
		err := checkRecord(r)
		if err == nil && !slices.ContainsFunc(k.prefixes, func(prefix string) bool { return strings.HasPrefix(r.Key, prefix) }) {
			err = fmt.Errorf("the key is not below %s", strings.Join(k.prefixes, " or "))
		}
		if err == nil {
			err = k.verify(r)
		}
		if err != nil {
			return fmt.Errorf("record %q: %w", r.Key, err)
		}
	}
	return nil
}

// Verify checks the records of all kinds of an instance together, which are written at
// once: etcd refuses a transaction that writes a key twice.
func Verify(records []Record) error {
	seen := map[string]bool{}
	total := 0
	for _, r := range records {
		if err := checkRecord(r); err != nil {
			return fmt.Errorf("record %q: %w", r.Key, err)
		}
		if seen[r.Key] {
			return fmt.Errorf("record %q: two values for one key; give each a key of its own", r.Key)
		}
		seen[r.Key] = true
		total += 2*len(r.Key) + len(r.Value)
	}
	if total > mostTotal {
		return fmt.Errorf("the records together are too long for etcd, which takes 1.5 MiB at once; give shorter values, shorter meta or fewer kinds, %d bytes in all at the most, where a key counts twice", mostTotal)
	}
	return nil
}

// mostTotal bounds what is written at once: etcd refuses a request of more than 1.5 MiB (its
// --max-request-bytes), again and again. A key is in the request twice, as what is to be
// unchanged, too.
const mostTotal = 1 << 20

// checkRecord is what holds for records of every kind, and for what CoreDNS reads, of
// whatever kind it is: one value there that it can't read is the end of many answers.
func checkRecord(r Record) error {
	if err := CheckKey(r.Key); err != nil {
		return err
	}
	if strings.HasPrefix(r.Key, skydnsRoot) {
		_, err := checkService(r)
		return err
	}
	return nil
}

// CheckKey fails unless a key is one that people can read, and that means the same to
// consumers that clean paths up.
func CheckKey(key string) error {
	parts := strings.Split(strings.TrimPrefix(key, "/"), "/")
	switch {
	case key == "":
		return errors.New("an empty key; give names with a slash between, such as service/web")
	case strings.HasSuffix(key, "/"):
		return errors.New("ends with a slash; give it without")
	case slices.Contains(parts, "") || slices.Contains(parts, ".") || slices.Contains(parts, ".."):
		return errors.New("has a part that is empty, . or ..; give names with a slash between, such as service/web")
	case !IsPlain(key):
		return errors.New("has a control character, or is not UTF-8; give plain text, such as service/web")
	}
	return nil
}

// IsPlain says whether a text is UTF-8 without control characters.
func IsPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
