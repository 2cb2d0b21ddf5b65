package exchange

import (
	"fmt"
	"io"

	"nightshift/internal/rawjson"
	"nightshift/runner/store/view"
)

// writeSamples writes a line for each row, its epochs as repeats of one request. The
// score of a row is the mean over its epochs, and null where it has none.
func (s *source) writeSamples(w io.Writer) error {
	for _, m := range s.means {
		*m = mean{scorer: m.scorer}
	}
	var epochs []view.ScoredRecord
	flush := func() error {
		if len(epochs) == 0 {
			return nil
		}
		line, err := rawjson.Marshal(s.sampleLine(epochs))
		if err != nil {
			return err
		}
		epochs = epochs[:0]
		_, err = w.Write(append(line, '\n'))
		return err
	}
	for rec, err := range s.rows() {
		if err != nil {
			return err
		}
		if len(epochs) > 0 && epochs[0].Row != rec.Row {
			if err := flush(); err != nil {
				return err
			}
		}
		epochs = append(epochs, rec)
	}
	return flush()
}

func (s *source) sampleLine(epochs []view.ScoredRecord) object {
	rec := &epochs[0].Record
	asked := questionText(prompt(rec))
	var texts []string
	for i := range epochs {
		texts = append(texts, textOf(&epochs[i].Record))
	}
	wanted := ""
	if rec.Target != nil {
		wanted = *rec.Target
	}
	category := ""
	if rec.Category != nil {
		category = *rec.Category
	}
	doc := object{"id": rec.ID, "input": asked, "target": wanted, "category": category}
	whole, _ := rawjson.Marshal(doc)
	line := object{
		"doc_id": rec.Row, "doc": doc, "target": wanted, "filter": "none",
		"arguments": object{"gen_args_0": object{"arg_0": asked, "arg_1": object{}}},
		"resps":     [][]string{texts}, "filtered_resps": texts[:1],
		"doc_hash": hashText(string(whole)), "prompt_hash": hashText(asked), "target_hash": hashText(wanted),
	}
	metrics := []string{}
	for _, m := range s.means {
		over := mean{}
		for _, one := range epochs {
			if score := one.Scores[m.scorer]; score != nil {
				over.add(score.Value)
			}
		}
		value, _ := over.of()
		if v, ok := value.(float64); ok {
			m.add(&v)
		}
		metrics = append(metrics, m.scorer)
		line[m.scorer] = value
	}
	line["metrics"] = metrics
	return line
}

// questionText is a prompt as a text: the messages as JSON where it is more than one
// message of a user.
func questionText(all []message) string {
	if text, ok := question(all).(string); ok {
		return text
	}
	b, _ := rawjson.Marshal(all)
	return string(b)
}

// writeResults writes the figures over all rows. The samples must have been written
// before.
func (s *source) writeResults(w io.Writer) error {
	task := plainName(s.info.Name)
	figures := object{"alias": task, "name": task, "sample_len": s.info.Rows()}
	better, list := object{}, []object{}
	for _, m := range s.means {
		value, se := m.of()
		if value == nil {
			continue
		}
		if se == nil {
			se = "N/A"
		}
		figures[m.scorer+",none"], figures[m.scorer+"_stderr,none"] = value, se
		better[m.scorer] = true
		list = append(list, object{"metric": m.scorer, "higher_is_better": true})
	}
	rows := s.info.Rows()
	b, err := rawjson.Marshal(object{
		"results": object{task: figures}, "group_subtasks": object{task: []string{}},
		"configs": object{task: object{"task": task, "output_type": "generate_until", "metric_list": list,
			"metadata": object{"tool": s.info.Tool}}},
		"versions": object{task: "N/A"}, "n-shot": object{task: 0}, "higher_is_better": object{task: better},
		"n-samples": object{task: object{"original": rows, "effective": rows}},
		"config":    object{"model": "nightshift", "model_args": s.model}, "model_source": "nightshift",
		"model_name": s.model, "model_name_sanitized": plainName(s.model), "date": s.info.CreatedAt.Unix(),
		"total_evaluation_time_seconds": fmt.Sprint(s.info.UpdatedAt.Sub(s.info.CreatedAt).Seconds()),
	})
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
