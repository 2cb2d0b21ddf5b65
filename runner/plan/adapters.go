package plan

func scorerTypes() []string {
	return []string{"exact", "f1", "includes", "match", "regex", "answer", "choice", "number", "json_valid", "json_schema", "json_equal",
		"tool_names_f1", "tool_calls_f1", "judge_grade", "judge_pairwise", "command", "cost_max", "latency_max", "stop_reason", "length_max"}
}
