package compare

import (
	"encoding/xml"
	"io"

	"nightshift/reports/render"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitProblem `xml:"failure,omitempty"`
	Error   *junitProblem `xml:"error,omitempty"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
}

// JUnit writes the gates as JUnit XML, one test case a gate. A run that proves
// nothing is one more case, in error.
func (c *Comparison) JUnit(w io.Writer) error {
	suite := junitSuite{Name: "nightshift " + render.Plain(c.Runs[0].Name), Timestamp: c.Created.Format("2006-01-02T15:04:05")}
	for _, g := range c.Gates {
		one := junitCase{Name: render.Plain(g.Gate), Class: "nightshift.gates", Output: render.Plain(g.Detail)}
		switch {
		case g.CannotTell:
			one.Error = &junitProblem{render.Plain(g.Detail)}
			suite.Errors++
		case !g.Passed:
			one.Failure = &junitProblem{render.Plain(g.Detail)}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, one)
	}
	if c.Invalid != "" {
		suite.Errors++
		suite.Cases = append(suite.Cases, junitCase{Name: "the run is valid", Class: "nightshift.gates", Error: &junitProblem{render.Plain(c.Invalid)}})
	}
	suite.Tests = len(suite.Cases)
	all := junitSuites{Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
