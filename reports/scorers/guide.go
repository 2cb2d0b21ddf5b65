package scorers

// A Guide tells a person how a type of scorer is used. The command
// nightshift scorers and docs/scorers.md show it.
type Guide struct {
	Group   string  `json:"group"`           // one of [Groups]
	Reads   string  `json:"reads"`           // what of the answer and of the row it looks at
	Gives   string  `json:"gives"`           // which values, and when
	Needs   string  `json:"needs,omitempty"` // what a run must have beside the plan's line
	Example Example `json:"example"`
}

// An Example is one answer that is scored.
type Example struct {
	Plan    string   `json:"plan"`              // the scorer, as it stands in scorers: of a plan
	Row     string   `json:"row"`               // of the dataset, a JSON object
	Answer  string   `json:"answer,omitempty"`  // the model's answer
	Columns string   `json:"columns,omitempty"` // other columns of the answer, a JSON object
	Replies []string `json:"replies,omitempty"` // what judges, endpoint or members gave
	Score   float64  `json:"score"`
	Read    string   `json:"read,omitempty"` // what the scorer read; empty where it compares the whole answer
}

// Groups are the groups of [Guide], in the order in which they are shown.
var Groups = []string{
	"Texts", "Numbers, letters and formulae", "Similarity", "JSON", "Tool calls", "Facts of the answer",
	"Judges and embeddings", "Base models", "Your own program",
}

// guides has one entry for each type.
var guides = map[string]Guide{
	"exact": {Group: "Texts", Reads: "the whole answer; the row's target or list of targets",
		Gives: "1 when they are equal, else 0",
		Example: Example{Plan: `{type: exact, normalize: squad}`,
			Row:    `{"prompt": "Where is the Louvre?", "target": "Paris"}`,
			Answer: "paris.", Score: 1}},
	"includes": {Group: "Texts", Reads: "the whole answer; the row's target, or texts of the plan",
		Gives: "1 when the target stands anywhere in the answer, else 0",
		Example: Example{Plan: `includes`,
			Row:    `{"prompt": "Where is the Louvre?", "target": "Paris"}`,
			Answer: "It is in the centre of Paris.", Score: 1}},
	"match": {Group: "Texts", Reads: "the end (or another place) of the answer; the row's target",
		Gives: "1 when the target stands there, else 0",
		Example: Example{Plan: `match`,
			Row:    `{"prompt": "Is the Louvre in Paris, yes or no?", "target": "yes"}`,
			Answer: "I am sure: Yes.", Score: 1}},
	"answer": {Group: "Texts", Reads: "what follows the last ANSWER: of the answer; the row's target",
		Gives: "1 when they are equal, else 0; no_answer without ANSWER:",
		Example: Example{Plan: `{type: answer, kind: word}`,
			Row:    `{"prompt": "Billing, login or bug? End with ANSWER: and the word.", "target": "login"}`,
			Answer: "The password was forgotten.\nANSWER: login", Score: 1, Read: "login"}},
	"regex": {Group: "Texts", Reads: "what a pattern finds in the answer; the row's target, if it has one",
		Gives: "1 when what the groups found (or else the whole match) is a target, else 0; no_answer without a match",
		Example: Example{Plan: `{type: regex, pattern: 'version (\d+)'}`,
			Row:    `{"prompt": "Which version of HTTP uses QUIC?", "target": "3"}`,
			Answer: "That is version 3.", Score: 1, Read: "3"}},

	"ifeval": {Group: "Texts", Reads: "the whole answer; the row's instruction_id_list and kwargs, as IFEval's " +
		"dataset has them",
		Gives: "1 when all instructions are followed to the letter, else 0; parts: the same loosely, and the share of " +
			"instructions, strictly and loosely",
		Example: Example{Plan: `ifeval`,
			Row: `{"prompt": "Name three rivers of Europe. Use no commas and at least 8 words.", "instruction_id_list": ` +
				`["punctuation:no_comma", "length_constraints:number_words"], "kwargs": [{}, {"relation": "at least", ` +
				`"num_words": 8}]}`,
			Answer: "The Danube and the Rhine and the Loire.", Score: 1}},
	"checks": {Group: "Texts", Reads: "what each of its scorers reads; the row's list of checks",
		Gives: "1 when every check gives 1, else 0; with rule: share their weighted mean; unscored where a row lists none",
		Example: Example{Plan: `checks`,
			Row: `{"prompt": "Invite Ada to lunch in one sentence.", "checks": [{"type": "includes", "target": "Ada"}, ` +
				`{"type": "length_max", "threshold": 20, "unit": "words"}, {"type": "regex", "pattern": "\\?$"}]}`,
			Answer: "Dear Ada, will you have lunch with me?", Score: 1}},

	"number": {Group: "Numbers, letters and formulae",
		Reads: "the last (or another) number of the answer; the number in the row's target",
		Gives: "1 when they are equal within the tolerance, else 0; no_answer without a number",
		Example: Example{Plan: `{type: number, rel_tol: 0.01}`,
			Row:    `{"prompt": "How high is the Eiffel Tower, in metres?", "target": "330 m"}`,
			Answer: "About 1,083 feet, which is 331 metres.", Score: 1, Read: "331"}},
	"choice": {Group: "Numbers, letters and formulae",
		Reads: "the letter that the answer chooses; the row's target, a letter or the text of a choice",
		Gives: "1 when it is the same choice, else 0; no_answer without one clear choice",
		Example: Example{Plan: `{type: choice, choices: 4}`,
			Row:    `{"prompt": "2 + 2? A) 3 B) 4 C) 5 D) 6", "target": "B"}`,
			Answer: "Two and two make four.\nAnswer: B", Score: 1, Read: "B"}},
	"math_string": {Group: "Numbers, letters and formulae",
		Reads: "the answer, or what its last \\boxed{} holds; the row's target",
		Gives: "1 when the formulae are equal as texts, after the clean-up of the MATH dataset, else 0",
		Example: Example{Plan: `{type: math_string, extract: boxed}`,
			Row:    `{"prompt": "What is 1/2 of 3/2?", "target": "\\frac{3}{4}"}`,
			Answer: `It is \boxed{\dfrac34}.`, Score: 1, Read: `\dfrac34`}},

	"math_equal": {Group: "Numbers, letters and formulae",
		Reads: "the formula in the answer, in LaTeX or as it is typed; the row's target",
		Gives: "1 when both have the same value (1/2 and 0.5, (x+1)^2 and x^2+2x+1, {1,2} and {2,1}), else 0; what cannot " +
			"be read is compared as a text",
		Example: Example{Plan: `math_equal`,
			Row:    `{"prompt": "Expand (x+1)(x-1).", "target": "x^2-1"}`,
			Answer: `It is \boxed{(x-1)(1+x)}.`, Score: 1, Read: "(x-1)(1+x)"}},

	"f1": {Group: "Similarity", Reads: "the words of the answer; those of the row's target",
		Gives: "2·precision·recall / (precision + recall) of the shared words",
		Example: Example{Plan: `f1`,
			Row:    `{"prompt": "Who painted it?", "target": "Leonardo da Vinci"}`,
			Answer: "Leonardo", Score: 0.5}},
	"levenshtein": {Group: "Similarity", Reads: "the characters of the answer; those of the row's target",
		Gives: "1 − edit distance / length of the longer text",
		Example: Example{Plan: `levenshtein`,
			Row:    `{"prompt": "Spell it.", "target": "receive"}`,
			Answer: "recieve", Score: 0.7142857142857143}},
	"rouge": {Group: "Similarity", Reads: "the words of the answer; those of the row's target",
		Gives: "the F measure (or precision, or recall) of shared n-grams or of the longest common subsequence",
		Example: Example{Plan: `{type: rouge, variant: L}`,
			Row:    `{"prompt": "Sum it up: …", "target": "the cat was on a mat"}`,
			Answer: "The cat sat on the mat.", Score: 0.6666666666666666}},
	"chrf": {Group: "Similarity", Reads: "the characters of the answer; those of the row's target",
		Gives: "chrF in 0..1; reports show the mean over answers and the value over all answers together",
		Example: Example{Plan: `chrf`,
			Row:    `{"prompt": "Translate: …", "target": "the cat was on a mat"}`,
			Answer: "The cat sat on the mat.", Score: 0.33232535587626216}},
	"bleu": {Group: "Similarity", Reads: "the words of all answers; those of their rows' targets",
		Gives: "BLEU in 0..1, one figure for all answers of a model; a single answer has no value",
		Example: Example{Plan: `bleu`,
			Row:    `{"prompt": "Translate: …", "target": ["The dog bit the man.", "The dog had bit the man."]}`,
			Answer: "The dog bit the man.", Score: 1}},

	"turns": {Group: "Facts of the answer", Reads: "the answer of each turn; the row's target, a list with one for " +
		"each turn",
		Gives: "the mean over the turns (or all, or the last); parts: each turn; null in the target leaves a turn out",
		Example: Example{Plan: `{type: turns, scorer: number}`,
			Row:    `{"prompt": "And 2 + 25?", "target": ["27"]}`,
			Answer: "It is 27.", Score: 1}},
	"brier": {Group: "Facts of the answer", Reads: "the confidence that the answer states, and what another scorer " +
		"says of it",
		Gives: "1 − (confidence − right)², so that 1 is best; no_answer without a stated confidence",
		Example: Example{Plan: `{type: brier, scorer: {type: answer, kind: word}}`,
			Row:    `{"prompt": "Where is the Louvre? Say how confident you are, in percent.", "target": "Paris"}`,
			Answer: "Confidence: 80%\nANSWER: Paris", Score: 0.96, Read: "0.8"}},
	"ece": {Group: "Facts of the answer", Reads: "the confidence that each answer states, and what another scorer " +
		"says of it",
		Gives: "1 − the expected calibration error, one figure for all answers of a model; a single answer has no value",
		Example: Example{Plan: `{type: ece, scorer: {type: answer, kind: word}}`,
			Row:    `{"prompt": "Where is the Louvre? Say how confident you are, in percent.", "target": "Paris"}`,
			Answer: "Confidence: 75%\nANSWER: Paris", Score: 0.75}},

	"json_valid": {Group: "JSON", Reads: "the whole answer",
		Gives: "1 when it is JSON, else 0",
		Example: Example{Plan: `{type: json_valid, container_only: true}`,
			Row:    `{"prompt": "Name and age of Ada, as JSON."}`,
			Answer: `{"name": "Ada", "age": 36}`, Score: 1}},
	"json_schema": {Group: "JSON", Reads: "the JSON in the answer; the schema of the plan",
		Gives: "1 when the schema accepts it, else 0; no_answer without JSON",
		Example: Example{
			Plan:   `{type: json_schema, extract: auto, schema: {type: object, required: [name, age]}}`,
			Row:    `{"prompt": "Name and age of Ada, as JSON."}`,
			Answer: "```json\n{\"name\": \"Ada\", \"age\": 36}\n```", Score: 1}},
	"json_equal": {Group: "JSON", Reads: "the JSON in the answer; the row's target as JSON",
		Gives: "1 when they are equal by value, else 0; with fields, the share of paths that are equal",
		Example: Example{Plan: `{type: json_equal, fields: [name, age]}`,
			Row:    `{"prompt": "Name and age of Ada, as JSON.", "target": {"name": "Ada", "age": 36}}`,
			Answer: `{"age": 37, "name": "Ada"}`, Score: 0.5}},
	"json_similarity": {Group: "JSON", Reads: "the JSON in the answer; the row's target as JSON",
		Gives: "how much of the two agrees, member by member: texts by edit distance, numbers by their ratio",
		Example: Example{Plan: `json_similarity`,
			Row:    `{"prompt": "…", "target": {"a": 1, "b": "abxd"}}`,
			Answer: `{"a": 1, "b": "abcd"}`, Score: 0.875}},

	"tool_names_f1": {Group: "Tool calls",
		Reads: "the names of the tools that were called; the row's target, a list of names",
		Gives: "F1 of the two sets of names",
		Example: Example{Plan: `tool_names_f1`,
			Row:     `{"prompt": "Weather and time in Paris?", "target": ["get_weather", "get_time"]}`,
			Columns: `{"tool_calls": [{"id": "1", "name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}]}`,
			Score:   0.6666666666666666, Read: "get_weather"}},
	"tool_calls_f1": {Group: "Tool calls",
		Reads: "the tool calls with their arguments; the row's target, a list of {name, arguments}",
		Gives: "F1 of the calls; a call that is wanted twice must be made twice",
		Example: Example{Plan: `tool_calls_f1`,
			Row:     `{"prompt": "Weather in Paris?", "target": [{"name": "get_weather", "arguments": {"city": "Paris"}}]}`,
			Columns: `{"tool_calls": [{"id": "1", "name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}]}`,
			Score:   1, Read: `get_weather {"city":"Paris"}`}},
	"tool_ast": {Group: "Tool calls",
		Reads: "the tool calls; the row's target, calls whose arguments are lists of allowed values",
		Gives: "1 when every call is allowed and has the types of the plan's functions, else 0",
		Example: Example{
			Plan: `{type: tool_ast, functions: [{name: get_weather, parameters: {type: object, ` +
				`properties: {city: {type: string}, days: {type: integer}}, required: [city]}}]}`,
			Row: `{"prompt": "Weather in Paris?", ` +
				`"target": [{"name": "get_weather", "arguments": {"city": ["Paris", "Paris, France"], "days": [1, ""]}}]}`,
			Columns: `{"tool_calls": [{"id": "1", "name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}]}`,
			Score:   1}},

	"length_max": {Group: "Facts of the answer", Reads: "the answer's length in characters, words or output tokens",
		Gives: "1 up to the threshold, 0 above it",
		Example: Example{Plan: `{type: length_max, threshold: 5, unit: words}`,
			Row:    `{"prompt": "Where is the Louvre? In at most five words."}`,
			Answer: "In the centre of Paris, by the Seine.", Score: 0, Read: "8"}},
	"latency_max": {Group: "Facts of the answer", Reads: "how long the answer took, in milliseconds",
		Gives: "1 up to the threshold, 0 above it; unscored where it is unknown, as for batches",
		Example: Example{Plan: `{type: latency_max, threshold: 2000}`,
			Row:    `{"prompt": "Where is the Louvre?"}`,
			Answer: "In Paris.", Columns: `{"latency_ms": 1250}`, Score: 1, Read: "1250"}},
	"cost_max": {Group: "Facts of the answer", Reads: "what the answer cost in dollars, all attempts together",
		Gives: "1 up to the threshold, 0 above it; unscored where it is unknown",
		Example: Example{Plan: `{type: cost_max, threshold: 0.01}`,
			Row:    `{"prompt": "Where is the Louvre?"}`,
			Answer: "In Paris.", Columns: `{"cost_usd": 0.0004}`, Score: 1, Read: "0.0004"}},
	"stop_reason": {Group: "Facts of the answer", Reads: "why the answer ended: our word, or the server's",
		Gives: "1 when it is one of those named, else 0",
		Example: Example{Plan: `{type: stop_reason, equals: [end, stop_sequence]}`,
			Row:    `{"prompt": "Tell me a story."}`,
			Answer: "Once upon a", Columns: `{"stop_reason": "max_tokens"}`, Score: 0, Read: "max_tokens"}},

	"judge_grade": {Group: "Judges and embeddings",
		Reads: "question, answer, target and criterion, as the judge's prompt shows them",
		Gives: "what the judge's grade is worth: C 1, I 0, P 0.5; unscored without a readable GRADE:",
		Needs: "a model that judges: model: of the plan's models, or endpoint: and model:",
		Example: Example{
			Plan:   `{type: judge_grade, name: helpful, endpoint: openai, model: gpt-5-mini, partial: true}`,
			Row:    `{"prompt": "Where is the Louvre, and since when?", "target": "Paris, 1793"}`,
			Answer: "In Paris.", Replies: []string{"The place is right, the year is missing.\nGRADE: P"},
			Score: 0.5, Read: "P"}},
	"judge_pairwise": {Group: "Judges and embeddings",
		Reads: "the answers of two models to one question, shown in both orders",
		Gives: "1 when the answer beats the baseline's in both orders, 0 when it loses in both, else 0.5",
		Needs: "a model that judges, and two models or more in the run",
		Example: Example{Plan: `{type: judge_pairwise, name: preferred, endpoint: openai, model: gpt-5-mini}`,
			Row:    `{"prompt": "Explain tides to a child."}`,
			Answer: "The Moon pulls at the sea.", Replies: []string{"Clear and short. [[A]]", "The second is clearer. [[B]]"},
			Score: 1, Read: "win"}},
	"panel": {Group: "Judges and embeddings", Reads: "the verdicts of other judges of the plan",
		Gives: "the value that most of them gave, or their mean; unscored where a missing verdict could change it",
		Needs: "the judges that it names, in the same plan",
		Example: Example{Plan: `{type: panel, name: jury, judges: [helpful, strict, third], rule: majority}`,
			Row:    `{"prompt": "Where is the Louvre?", "target": "Paris"}`,
			Answer: "In Paris.", Replies: []string{"1", "1", "0"}, Score: 1}},
	"embedding": {Group: "Judges and embeddings", Reads: "the vectors of the answer and of the row's target",
		Gives: "their cosine, at least 0; with a threshold 1 from that cosine on and 0 below it",
		Needs: "a model that makes vectors: model: of the plan's models, or endpoint: and model:",
		Example: Example{Plan: `{type: embedding, endpoint: openai, model: text-embedding-3-small}`,
			Row:    `{"prompt": "Where is the Louvre?", "target": "In Paris."}`,
			Answer: "It stands in Paris.", Replies: []string{"[0.6, 0.8]", "[0.8, 0.6]"}, Score: 0.96}},

	"loglikelihood": {Group: "Base models",
		Reads: "how probable the model finds each of the row's choices; the target: a choice, its letter or number",
		Gives: "1 when the likeliest choice is the target, else 0",
		Needs: "an endpoint with protocol: completions; the scorer must be in the plan when the run begins",
		Example: Example{Plan: `loglikelihood`,
			Row: `{"prompt": "The Louvre is in", "choices": ["Paris", "Rome"], "target": "Paris"}`,
			Columns: `{"choices": [{"index": 0, "text": "Paris", "loglikelihood": {"sum": -0.4, "tokens": 1, "bytes": 5}}, ` +
				`{"index": 1, "text": "Rome", "loglikelihood": {"sum": -3.1, "tokens": 1, "bytes": 4}}]}`,
			Score: 1, Read: "Paris"}},
	"perplexity": {Group: "Base models", Reads: "how probable the model finds the row's prompt",
		Gives: "the inverse of the perplexity over all texts, in 0..1; a single text has no value",
		Needs: "an endpoint with protocol: completions; the scorer must be in the plan when the run begins",
		Example: Example{Plan: `perplexity`,
			Row: `{"prompt": "The Louvre is in Paris."}`,
			Columns: `{"choices": [{"index": 0, "text": "The Louvre is in Paris.", ` +
				`"loglikelihood": {"sum": -4, "tokens": 5, "bytes": 20}}]}`,
			Score: 0.4493289641172217}},

	"command": {Group: "Your own program",
		Reads: "whatever a program of yours reads: one JSON line an answer with n, id, output, target, input, " +
			"tool_calls, stop_reason and metadata",
		Gives: "the value that it prints: one JSON line an answer with value (0..1 or null), and if it likes answer " +
			"and explanation",
		Needs: "--allow-commands on the command line, since a plan must not run programs by itself",
		Example: Example{
			Plan: `{type: command, name: polite, argv: [python3, -c, "import json, sys\nfor line in sys.stdin:\n  ` +
				`text = json.loads(line)['output'].lower()\n  print(json.dumps({'value': float('please' in text)}), ` +
				`flush=True)"]}`,
			Row:    `{"prompt": "Ask for the salt."}`,
			Answer: "Could I have the salt, please?", Score: 1}},
}
