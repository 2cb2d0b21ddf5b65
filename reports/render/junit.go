package render

import (
	"encoding/xml"
	"io"
	"time"
)

// A Case is one test case of JUnit XML. At most one of Failure and Error says
// what is wrong.
type Case struct{ Name, Failure, Error, Output string }

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

// JUnit writes cases as JUnit XML, as one suite.
func JUnit(w io.Writer, name, class string, at time.Time, cases []Case) error {
	suite := junitSuite{Name: Plain(name), Tests: len(cases), Timestamp: at.Format("2006-01-02T15:04:05")}
	for _, c := range cases {
		one := junitCase{Name: Plain(c.Name), Class: class, Output: Plain(c.Output)}
		switch {
		case c.Error != "":
			one.Error = &junitProblem{Plain(c.Error)}
			suite.Errors++
		case c.Failure != "":
			one.Failure = &junitProblem{Plain(c.Failure)}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, one)
	}
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
