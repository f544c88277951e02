package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// ownImage is the tar of a release's image, as it is but for its name, which is this test's own:
// the machine may have an image of the released name. It is removed after the test.
func ownImage(t *testing.T, test string) (file, name string) {
	t.Helper()
	built, base := releasedFile(t, "_image.tar")
	file, name = filepath.Join(t.TempDir(), base), fmt.Sprintf("dockreg-%s-%d:1.2.3", test, os.Getpid())
	in, err := os.Open(built)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	var out bytes.Buffer
	from, to, named := tar.NewReader(in), tar.NewWriter(&out), 0
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		if header.Name == "manifest.json" {
			named = bytes.Count(content, []byte(`["dockreg:1.2.3"]`))
			content = bytes.Replace(content, []byte("dockreg:1.2.3"), []byte(name), 1)
			header.Size = int64(len(content))
		}
		if err := to.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(to.Close(), os.WriteFile(file, out.Bytes(), 0o600)); err != nil || named != 1 {
		t.Fatalf("%v, and the name dockreg:1.2.3 is %d times in the manifest", err, named)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", name).Run() })
	return file, name
}

// quickstart is what the commands of docs/quickstart.md show, a block each. One that only asks is run
// until it shows it, as a reader would.
var quickstart = []struct {
	first, shows, lack string
	asks               bool
}{
	{first: "docker load", shows: "^Loaded image: dockreg:1.2.3\n$"},
	{first: "cat >Dockerfile"},
	{first: "docker build", shows: "Successfully tagged|naming to"},
	{first: "export IP="},
	{first: "docker run -d --name etcd", shows: "^[0-9a-f]{64}\n$"},
	{first: "docker run -d --name hello", shows: "^[0-9a-f]{64}\n$"},
	{first: "docker run --rm dockreg:1.2.3 ls", shows: `(?m)^[0-9.]+:\d+ .* running `, asks: true},
	{first: "docker exec hello dockreg status", shows: "^registered ", asks: true},
	{first: "docker stop hello", shows: "^[a-z0-9-]*hello\n$"},
	{first: "docker run --rm dockreg:1.2.3 ls", lack: "running"},
}

// From the files of a release to the first key it takes ten commands, in a folder that has these
// files alone, without Go.
func TestQuickstart(t *testing.T) {
	needDocker(t)
	t.Parallel()
	file, loaded := ownImage(t, "quickstart-image")
	blocks := blocksOf(t, "../docs/quickstart.md")
	if len(blocks) != len(quickstart) || len(blocks) > 10 {
		t.Fatalf("the quick start has %d commands, this test knows %d; ten at the most", len(blocks), len(quickstart))
	}
	folder := t.TempDir()
	if err := os.Symlink(file, filepath.Join(folder, filepath.Base(file))); err != nil {
		t.Fatal(err)
	}
	port := lowPort(t, docker.Gateway)
	own := fmt.Sprintf("dockreg-quickstart-%d", os.Getpid())
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "logs", own+"-hello").CombinedOutput()
			t.Logf("hello logged\n%s", out)
		}
		_ = exec.Command("docker", "rm", "-f", own+"-hello", own+"-etcd").Run()
		_ = exec.Command("docker", "rmi", "-f", own).Run()
	})
	// Beside what else runs here, in images of this machine's own.
	here := strings.NewReplacer("_amd64_", "_"+runtime.GOARCH+"_", "dockreg:1.2.3", loaded, "FROM python:3-slim", "FROM "+apps, "quay.io/coreos/etcd:v3.5.21 etcd", "dockreg-etcd",
		"-t hello", "-t "+own, "$IP hello", "$IP "+own, "--name hello", "--name "+own+"-hello", "exec hello", "exec "+own+"-hello", "stop hello", "stop "+own+"-hello",
		"--name etcd", "--name "+own+"-etcd", "2379:2379", port+":2379", "$IP:2379", "$IP:"+port)

	var exports string
	start := time.Now()
	for i, commands := range blocks {
		want := quickstart[i]
		if !strings.HasPrefix(commands, want.first) {
			t.Fatalf("block %d starts otherwise than with %q:\n%s", i, want.first, commands)
		}
		if strings.HasPrefix(commands, "export ") {
			exports += commands
		}
		patience := time.Duration(0)
		if want.asks {
			patience = busy + 20*time.Second
		}
		show := func() error {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", exports+here.Replace(commands))
			cmd.Dir, cmd.Env = folder, []string{"PATH=" + folderOf(t, "docker") + ":/usr/bin:/bin", "HOME=" + folder}
			out, err := cmd.CombinedOutput()
			if err != nil || !regexp.MustCompile(here.Replace(want.shows)).Match(out) || want.lack != "" && strings.Contains(string(out), want.lack) {
				return errors.Join(err, fmt.Errorf("%s\nshows\n%s\nand not %q without %q", cmd, out, want.shows, want.lack))
			}
			return nil
		}
		err := poll(t, patience, show)
		for tries := 1; err != nil && isLate(err.Error()) && tries < 5; tries++ {
			t.Log(err)
			err = show()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d commands took %s", len(blocks), time.Since(start))
}

// folderOf returns where a command lies.
func folderOf(t *testing.T, command string) string {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(path)
}
