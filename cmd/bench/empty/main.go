// Empty does nothing: its start and end take the time that any Go program needs.
package main

func main() {}
