package paths

// sddl is the access list for one user alone, in Windows' security descriptor
// definition language: protected (P), so that nothing is inherited, with full
// access (FA), which a folder hands on to what is made in it (OICI).
func sddl(sid string, dir bool) string {
	if dir {
		return "D:P(A;OICI;FA;;;" + sid + ")"
	}
	return "D:P(A;;FA;;;" + sid + ")"
}
