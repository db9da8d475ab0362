package localapi

import (
	"context"
	"net/http"

	"langkeep/localapi/client"
	"langkeep/localapi/doctor"
	"langkeep/localapi/guard"
)

// Doctor looks for faults.
type Doctor interface {
	Look(ctx context.Context) []doctor.Result
	LookAt(ctx context.Context, profile string) []doctor.Result
}

// PresentChecks are results as the API shows them; profile is "" if they are
// about none.
func PresentChecks(results []doctor.Result, profile string) []client.Check {
	checks := make([]client.Check, len(results))
	for i, r := range results {
		checks[i] = client.Check{
			Check: r.Check, Profile: known(profile), Verdict: r.Verdict, Found: r.Found, Advice: known(r.Advice),
		}
	}
	return checks
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.DoctorRequest
	if err := read(r, &body); err != nil {
		return err
	}
	if body.Profile != "" {
		if _, err := s.Agent.Profile(body.Profile); err != nil {
			return err
		}
	}
	report := client.Report{Checks: PresentChecks(s.Doctor.Look(r.Context()), "")}
	if body.Profile != "" {
		report.Checks = append(report.Checks, PresentChecks(s.Doctor.LookAt(r.Context(), body.Profile), body.Profile)...)
	}
	return answer(w, http.StatusOK, report)
}
