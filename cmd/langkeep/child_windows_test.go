package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// role says what this test binary is, run again: exec, or its child.
const role = "LANGKEEP_TEST_ROLE"

// TestChildEndsWithUs ends a program as the Task Manager does: its child goes
// too, which the end of the pipe shows that they share.
func TestChildEndsWithUs(t *testing.T) {
	switch os.Getenv(role) {
	case "exec":
		a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
		_ = a.runChild(os.Args[0], os.Args, append(os.Environ(), role+"=child")) // it is ended before
		return
	case "child":
		os.Stdout.WriteString("here\n")
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildEndsWithUs$")
	cmd.Env = append(os.Environ(), role+"=exec")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := bufio.NewReader(r)
	if line, err := out.ReadString('\n'); line != "here\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was ended
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, out)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the child goes on")
	}
}
