// Empty does nothing: what it takes to start and leave is what any Go program
// needs.
package main

func main() {}
