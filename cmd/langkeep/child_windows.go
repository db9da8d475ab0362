package main

import "os"

// passedOn is Ctrl-C, which Windows sends to every program of the console.
var passedOn = []os.Signal{os.Interrupt}

func passOn(*os.Process, os.Signal) {}

func exitCode(s *os.ProcessState) int { return s.ExitCode() }
