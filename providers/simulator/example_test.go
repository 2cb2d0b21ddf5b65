package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"nightshift/providers/simulator"
)

// A client talks to a server in its own process, and the ledger says what
// that cost.
func Example() {
	faults, err := simulator.ParseFaults("server_error=100%;first=1")
	if err != nil {
		fmt.Println(err)
		return
	}
	// {"prompt": "What is 17 + 25?", "target": "42"}
	config := simulator.Config{Faults: faults, AnswersFile: "answers.jsonl"}
	if err := config.LoadAnswers("testdata"); err != nil {
		fmt.Println(err)
		return
	}
	server := simulator.New(config)
	client := &http.Client{Transport: server.Transport()}
	body := `{"model":"sim-large","max_tokens":50,"messages":[{"role":"user","content":"What is 17 + 25? Answer ` +
		`with a single number."}]}`
	for range 2 { // the first try goes wrong
		resp, err := client.Post("http://simulator/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, strings.Contains(string(answer), `"content":"42"`))
	}
	l := server.Ledger()
	fmt.Println("received", l.Received, "delivered", l.Delivered, "billed", l.Billed.Input, "+", l.Billed.Output)
	// Output:
	// 500 false
	// 200 true
	// received 2 delivered 1 billed 18 + 1
}
