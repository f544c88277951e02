package host

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestPassedOnHelper is no test: it is the two processes of TestP11PassedOn.
func TestPassedOnHelper(t *testing.T) {
	path := os.Getenv("HOST_SOCKET")
	if path == "" {
		t.Skip("of another test")
	}
	if os.Getenv("HOST_HEIR") == "" {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		// An answer shows that it was accepted while its opener lived.
		_, _ = io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatal(answer, err)
		}
		file, err := conn.(*net.UnixConn).File()
		if err != nil {
			t.Fatal(err)
		}
		heir := exec.Command(os.Args[0], "-test.run=^TestPassedOnHelper$")
		heir.Env = append(os.Environ(), "HOST_HEIR="+fmt.Sprint(os.Getpid()))
		heir.ExtraFiles = []*os.File{file}
		heir.Stdout = os.Stdout // which ends with the last of the two
		if err := heir.Start(); err != nil {
			t.Fatal(err)
		}
		os.Exit(0)
	}
	conn, err := net.FileConn(os.NewFile(3, "conn"))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); fmt.Sprint(os.Getppid()) == os.Getenv("HOST_HEIR") && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // nobody tells
	}
	_, _ = io.WriteString(conn, "GET /containers/self/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	said, _ := io.ReadAll(conn)
	fmt.Println(string(said))
}
