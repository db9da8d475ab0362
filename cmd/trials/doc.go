// Package trials has no code but its tests: the suites that drive langkeep as
// people have it, built once and run as a process of its own. A file's name
// begins with its suite and goes on with what it tries; rig_*_test.go are what
// the suites share, such as an agent that is attacked or a person with a
// computer. With the build tag real they need more than Go, see .ci/test.
package trials
