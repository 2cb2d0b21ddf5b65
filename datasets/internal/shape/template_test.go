package datasets

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
)

// rendered renders a template over a row.
func rendered(t testing.TB, source, raw string) (string, rowError) {
	t.Helper()
	compiled, err := compile("prompt", source)
	if err != nil {
		t.Fatal(err)
	}
	b := builder{rules: &rules{ids: []path{{name: "id"}}, shape: templated, templates: templates{prompt: compiled}}}
	b.names = b.namer()
	if !b.object([]byte(raw)) {
		t.Fatalf("%s: %s", raw, b.what)
	}
	return compiled.render(b.variables(b.row([]byte(raw)), 4, 2))
}

func TestTemplates(t *testing.T) {
	const row = `{"a":"x{{ 7*7 }}","n":12345678901234567890,"i":3,"f":1.10,"e":1e5,"g":2.5,"t":true,"z":null,
		"list":["p","q<&>'"],"o":{"b":1,"a":[1.50,null,"é"]},"odd name":"odd","row":"own","text":"a\nb"}`
	for _, tc := range []struct{ source, want, bad string }{
		{"{{ a }}", "x{{ 7*7 }}", ""},
		{"{{ a }}{{ '{{ a }}' }}", "x{{ 7*7 }}{{ a }}", ""},
		{"{{ n }} {{ i }} {{ f }} {{ e }} {{ g }}", "12345678901234567890 3 1.10 1e5 2.5", ""},
		{"{{ i + 1 }} {{ g * 2 }} {{ f | float + 1 }}", "4 5.0 2.1", ""},
		{"{{ t }} [{{ z }}]", "True []", ""},
		{"{% for x in list %}{{ loop.index }}{{ x }}{% if not loop.last %};{% endif %}{% endfor %}", "1p;2q<&>'", ""},
		{"{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}", "01253", ""},
		{"{{ list | tojson }} {{ o | tojson }}", `["p", "q<&>'"] {"a": [1.50, null, "é"], "b": 1}`, ""},
		{"{{ o | tojson(indent=1) }}", "{\n \"a\": [\n  1.50,\n  null,\n  \"é\"\n ],\n \"b\": 1\n}", ""},
		{"{{ o.a[2] }} {{ o['b'] }} {{ list[-1] }}", "é 1 q<&>'", ""},
		{`{{ row["odd name"] }} {{ row.a }} {{ row["row"] }}`, "odd x{{ 7*7 }} own", ""},
		{"{{ id }} {{ index }} {{ epoch }}", "4 4 2", ""},
		{"{{ nothing | default('none') }}{% if nothing is defined %}!{% endif %}", "none", ""},
		{"{% if i == 3 and list | length > 1 %}yes{% else %}no{% endif %}", "yes", ""},
		{"{% set x = a | upper %}{{ x | replace('X', 'Y') }}", "Y{{ 7*7 }}", ""},
		{"{% raw %}{{ a }}{% endraw %}{# gone #}", "{{ a }}", ""},
		{"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(i) }}", "<3>", ""},
		{"{{ text | indent(2) }}", "a\n  b", ""},
		{"{{ nothing }}", "", `names "nothing", which the row does not have`},
		{"{{ o.c }}", "", `names "c"`},
		{"{{ row['zz'] }}", "", `names "zz"`},
		{"{{ list[5] }}", "", `names "5"`},
		{"{% for x in nothing %}{% endfor %}", "", `names "nothing"`},
		{"{{ i / nothing }}", "", `names "nothing"`},
		{"{{ list | random }}", "", "random is not there"},
		{"{{ lipsum() }}", "", "lipsum"},
		{"{{ a * -1 }}", "", "the prompt template fails"},
		{"{% for i in range(100000000) %}x{% endfor %}", "", "more than a million"},
		{"{% for i in range(100000) %}{{ '%1000d' | format(i) }}{% endfor %}", "", "grows beyond 64 MiB"},
	} {
		got, c := rendered(t, tc.source, row)
		if tc.bad == "" && (c.bad() || got != tc.want) {
			t.Errorf("%s = %q (%v), want %q", tc.source, got, c, tc.want)
		}
		if tc.bad != "" && !strings.Contains(c.what, tc.bad) {
			t.Errorf("%s: %q (%+v), want a complaint with %q", tc.source, got, c, tc.bad)
		}
	}
	for _, source := range []string{"{% include '/etc/passwd' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
		"{{ a", "{% if %}", "{% endfor %}", "{% nosuch %}"} {
		if _, err := compile("prompt", source); err == nil {
			t.Errorf("%s compiles", source)
		}
	}
}

// Objects keep the order of the row, and texts are counted in characters. What
// is wanted is what Jinja 3.1.6 makes of the same templates.
func TestTemplatesAsJinja(t *testing.T) {
	const row = `{"name":"Über","cn":"中文字","o":{"2":"two","10":"ten","1":"one"},"n":{"z":{"b":1,"a":[3,1,2]},"a":{"y":"Ü","x":"q"}},
		"l":[3,1,2],"e":{},"Keys":"field","w":"año día"}`
	for _, tc := range []struct{ source, want string }{
		{`{{ name[0] }}|{{ name[-1] }}|{{ cn[1] }}|{{ cn[-3] }}|{{ name[0:2] }}|{{ cn[1:] }}|{{ cn[-2:] }}|{{ name[::-1] }}`,
			`Ü|r|文|中|Üb|文字|文字|rebÜ`},
		{`{{ (name|upper)[0] }}{{ (name|lower)[0] }}{{ name.upper()[0] }}{{ name[1:][0] }}{{ (name ~ cn)[4] }}{{ 'Öl'[0] }}{{ (cn + 'x')[-2] }}{{ name|first }}{{ cn|last }}{{ cn|length }}{{ name|reverse }}{{ cn|list|join('-') }}{{ cn|join('.') }}`,
			`ÜüÜb中Ö字Ü字3rebÜ中-文-字中.文.字`},
		{`{% set q = cn[1] %}{{ q }}{% set t = name ~ '!' %}{{ t[0] }}{% with z = name[0] %}{{ z }}{% endwith %}{% filter upper %}{{ name[0] }}{% endfilter %}{% macro m(x) %}{{ x[0] }}{% endmacro %}{{ m(name) }}{% for c in cn %}{{ loop.index }}{{ c }}{% endfor %}{% if name[0] == 'Ü' %}yes{% endif %}{{ w.split(' ')[1][1] }}`,
			`文ÜÜÜÜ1中2文3字yesí`},
		{`{% for k, v in o.items() %}{{ k }}={{ v }} {% endfor %}{% for k in o %}{{ k }},{% endfor %}{% for k in o.keys() %}{{ k }},{% endfor %}{% for v in o.values() %}{{ v }},{% endfor %}`,
			`2=two 10=ten 1=one 2,10,1,2,10,1,two,ten,one,`},
		{`{{ o }} {{ n }}`,
			`{'2': 'two', '10': 'ten', '1': 'one'} {'z': {'b': 1, 'a': [3, 1, 2]}, 'a': {'y': 'Ü', 'x': 'q'}}`},
		{`{{ o|join(',') }} {{ o|first }} {{ o|last }} {{ o|list|join(' ') }} {{ o|length }} {{ o|tojson }}`,
			`2,10,1 2 1 2 10 1 3 {"1": "one", "10": "ten", "2": "two"}`},
		{`{% for k, v in o|items %}{{ k }}{{ v }} {% endfor %}{% for k, v in o|dictsort %}{{ k }}{{ v }} {% endfor %}{% for k, v in o|dictsort(by='value', reverse=true) %}{{ k }}{{ v }} {% endfor %}`,
			`2two 10ten 1one 1one 10ten 2two 2two 10ten 1one `},
		{`{% for k, v in n.items() %}{{ k }}:{% for a, b in v.items() %}{{ a }}{{ b }};{% endfor %}{% endfor %}{{ n.z.b }}{{ n['a']['y'][0] }}{{ n.z.a[-3] }}{{ n.a.y[0] }}`,
			`z:b1;a[3, 1, 2];a:yÜ;xq;1Ü3Ü`},
		{`{% for k, v in row.items() %}{{ k }} {% endfor %}{{ row.Keys }} {{ Keys }} {{ row['name'][0] }}`,
			`name cn o n l e Keys w field field Ü`},
		{`{{ l|reverse|join(',') }} {{ l|sort|join(',') }} {{ l[-3] }} {{ l[::-1]|join(',') }} {{ o|reverse|join(',') }} {{ o.values()|list|reverse|join(',') }} {{ o.items()|list|last }}`,
			`2,1,3 1,2,3 3 2,1,3 1,10,2 one,ten,two ('1', 'one')`},
		{`{{ o.get('2') }} {{ o.get('9', 'none') }} {{ '2' in o }} {{ 2 in l }} {% if e %}full{% else %}empty{% endif %} {{ e }} {{ e.items()|list }} {{ o.pop('10') }} {{ o }} {% do o.update({'9':'nine'}) %}{{ o }} {{ o.setdefault('8','eight') }} {{ o|length }}`,
			`two none True True empty {} [] ten {'2': 'two', '1': 'one'} {'2': 'two', '1': 'one', '9': 'nine'} eight 4`},
		{`{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %} {{ dict(q=1).items()|list }} {{ n|tojson(indent=1) }}`,
			`b1a2 [('q', 1)] {
 "a": {
  "x": "q",
  "y": "Ü"
 },
 "z": {
  "a": [
   3,
   1,
   2
  ],
  "b": 1
 }
}`},
		{`{{ n.a.items()|map('first')|join(',') }} {{ cn|map('upper')|list }} {{ [n.z, n.z]|map(attribute='b')|join }} {{ 'a-b'.split('-')[1] }} {{ o|map('length')|list }} {{ [{'k':2},{'k':1}]|sort(attribute='k')|map(attribute='k')|list }}`,
			`y,x ['中', '文', '字'] 11 b [1, 2, 1] [1, 2]`},
		{`{{ cn|sort|join }} {{ cn|unique|list }} {{ cn|batch(2)|list }} {{ name|title }} {{ name|center(8) }} {{ o.items()|length }} {{ 'x' if name[0]=='Ü' else 'y' }}`,
			`中字文 ['中', '文', '字'] [['中', '文'], ['字']] Über   Über   3 x`},
		{`{% set ns = namespace(x=0) %}{% for k in o %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}`, "3"},
		{`{{ o.zz is defined }} {{ o.zz|default('d') }} {{ n.zz.yy|default('d') }} {{ o['2']|default('x') }}`, "False d d two"},
		{`{% for k, v in o.items() if k != '2' %}{% if loop.first %}{{ k }}{% endif %}{% endfor %}`, "10"},
	} {
		if got, c := rendered(t, tc.source, row); c.bad() || got != tc.want {
			t.Errorf("%s = %q (%v), want %q", tc.source, got, c, tc.want)
		}
	}
	for _, source := range []string{"{{ name[9] }}", "{{ name[-5] }}", "{{ l[-4] }}", "{{ o.keys }}", "{{ row.items }}", "{{ o.Pairs }}"} {
		if got, c := rendered(t, source, row); !strings.Contains(c.what, "which the row does not have") {
			t.Errorf("%s = %q, %+v: it is not there", source, got, c)
		}
	}
	if _, c := rendered(t, "{{ o.get('a', 'b', 'c')[0] }}", row); strings.Contains(c.what, "filter") || !strings.Contains(c.what, "at most one default") {
		t.Errorf("%q: the error shows filters that nobody wrote", c.what)
	}
}

// Templates are shared by all readers.
func TestTemplatesAtOnce(t *testing.T) {
	compiled, err := compile("prompt", "{% for x in list %}{{ x }}{% endfor %}{{ id }}")
	if err != nil {
		t.Fatal(err)
	}
	shared := &rules{ids: []path{{name: "id"}}, shape: templated, templates: templates{prompt: compiled}}
	shared.names = shared.namer()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := builder{rules: shared}
			raw := []byte(`{"id":"` + itoa(int64(i)) + `","list":[1,2,3]}`)
			for range 50 {
				b.object(raw)
				if got, c := compiled.render(b.variables(b.row(raw), 0, 0)); got != "123"+itoa(int64(i)) {
					t.Errorf("%q, %v", got, c)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzTemplateValues: whatever a field holds comes out as it is.
func FuzzTemplateValues(f *testing.F) {
	for _, s := range []string{"", "{{ 7*7 }}", "{% for x in row %}{% endfor %}", "{{ secret }}", "{#", "}}", "\x00\xff", "{{ '{{' }}", "{% raw %}"} {
		f.Add(s)
	}
	compiled, err := compile("prompt", "<{{ v }}|{{ row.v }}|{{ [v] | join }}>")
	if err != nil {
		f.Fatal(err)
	}
	b := builder{rules: &rules{shape: templated, templates: templates{prompt: compiled}}}
	b.names = b.namer()
	f.Fuzz(func(t *testing.T, s string) {
		raw := append(append([]byte(`{"secret":"no","v":`), quote(strings.ToValidUTF8(s, "?"))...), '}')
		if !b.object(raw) {
			t.Fatalf("%s: %s", raw, b.what)
		}
		got, c := compiled.render(b.variables(b.row(raw), 0, 0))
		v := strings.ToValidUTF8(s, "?")
		if want := "<" + v + "|" + v + "|" + v + ">"; c.bad() || got != want {
			t.Errorf("%q renders as %q (%+v)", s, got, c)
		}
	})
}

// FuzzRowAfterRow: a row is read alike whatever row came before it.
func FuzzRowAfterRow(f *testing.F) {
	for _, s := range [][2]string{
		{`{"a":1,"b":"x"}`, `{"a":[2,{"a":3,"b":4}],"b":"y"}`}, {`{"a":1}`, `{"a":1,"a":2}`}, {`{"a":1}`, `{"a":01}`}, {`{"a":1}`, `{"a":}`},
		{`{"a":1}`, `{"a":1} `}, {`{"a":1} `, `{"a":1}{`}, {`{"a":{"b":1}}`, `{"a":{"b":1,"b":2}}`}, {`{"a":1}`, `{"a":"`}, {`{"a":1}`, `{"a":1`},
		{` {"\u0061" : 1}`, ` {"\u0061" : tru}`}, {`{"a":1,"b":2}`, `{"b":1,"a":2}`}, {`{"a":1}`, `{}`}, {`{"a":1,"b":2}`, `{"a":1}`}, {`[1]`, `{"a":1}`},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, before, b []byte) {
		var fresh, used scanner
		want := fresh.object(b)
		used.object(before)
		for range 2 {
			got := used.object(b)
			if got != want || used.at != fresh.at || used.what != fresh.what || used.hint != fresh.hint {
				t.Fatalf("%q after %q: %v %d %q, want %v %d %q", b, before, got, used.at, used.what, want, fresh.at, fresh.what)
			}
			if want && !slices.Equal(used.fields, fresh.fields) {
				t.Fatalf("%q after %q: %+v, want %+v", b, before, used.fields, fresh.fields)
			}
		}
	})
}

// FuzzRow: what the scanner accepts, the standard library accepts too, and
// both read the same fields; what the library refuses, so does the scanner.
func FuzzRow(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, `{"a":[{"b":null},"\ud83d\ude00",-0.1e+5]}`, `{"\u0061":1,"a":2}`, `{"a":"\ud800"}`, `[1]`, `{"a":tru}`,
		"{\"a\":\"\x80\"}", `{"a":"x` + "\n" + `"}`, `{"a":01}`, `{"a":1}{`, ` {"a" : "b\\" } `, `{"a":"\\\"","b":{"c":"}"}}`, `{"a":"12345678é\\"}`} {
		f.Add([]byte(s))
	}
	var s scanner
	f.Fuzz(func(t *testing.T, b []byte) {
		accepted := s.object(b)
		if !accepted {
			if s.what == "" {
				t.Fatalf("%q is refused without a reason", b)
			}
			return
		}
		want := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q is accepted, but %v", b, err)
		}
		r := row{b, slices.Clone(s.fields)}
		if len(r.fields) != len(want) {
			t.Fatalf("%q: %d fields, want %d", b, len(r.fields), len(want))
		}
		for name, raw := range want {
			v := r.get(name)
			if string(v.raw) != string(raw) {
				t.Fatalf("%q: %q is %s, want %s", b, name, v.raw, raw)
			}
			var text string
			if v.kind == kindString && (json.Unmarshal(raw, &text) != nil || v.text() != text) {
				t.Fatalf("%q: %q says %q, want %q", b, name, v.text(), text)
			}
			checkNested(t, v)
		}
		if b := repaired(b); !s.object(b) {
			t.Fatalf("repairing breaks %q", b)
		}
	})
}

// checkNested walks a value with our own iterators and with the library.
func checkNested(t *testing.T, v value) {
	switch v.kind {
	case kindArray:
		var want []json.RawMessage
		if err := json.Unmarshal(v.raw, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		for i, e := range elements(v.raw) {
			if n++; i >= len(want) || string(e.raw) != string(want[i]) {
				t.Fatalf("%s: element %d is %s", v.raw, i, e.raw)
			}
			checkNested(t, e)
		}
		if n != len(want) {
			t.Fatalf("%s: %d elements, want %d", v.raw, n, len(want))
		}
	case kindObject:
		var want map[string]json.RawMessage
		if err := json.Unmarshal(v.raw, &want); err != nil {
			t.Fatal(err)
		}
		n := 0
		for key, e := range members(v.raw) {
			if n++; string(e.raw) != string(want[string(unescape(key))]) {
				t.Fatalf("%s: %s is %s", v.raw, key, e.raw)
			}
			checkNested(t, e)
		}
		if n != len(want) {
			t.Fatalf("%s: %d members, want %d", v.raw, n, len(want))
		}
	}
}

// FuzzSplit: cutting a stream into rows does not depend on how it is read, and
// never loses a byte.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\n\n\r\nab\r\n", "[1,{\"a\":\"]\"}]", "a,\"b\nc\"\n\"\"\"\",2", strings.Repeat("x", 300) + "\ny\n"} {
		f.Add([]byte(s), uint8(1), uint16(50))
		f.Add([]byte(s), uint8(7), uint16(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8, limit uint16) {
		most := int(limit)%400 + 1
		for _, format := range []string{formatJSONL, formatJSON, formatCSV} {
			whole := splitAll(t, format, b, len(b)+1, len(b)+1, most)
			pieces := splitAll(t, format, b, int(step)%16+1, int(step)%50+1, most)
			if !slices.Equal(whole, pieces) {
				t.Fatalf("%s %q: rows %q at once, %q in pieces", format, b, whole, pieces)
			}
		}
	})
}

// A dribble gives a few bytes at a time.
type dribble struct {
	b    []byte
	step int
}

func (d *dribble) Read(p []byte) (int, error) {
	n := copy(p, d.b[:min(len(d.b), d.step)])
	d.b = d.b[n:]
	if n == 0 {
		return 0, errEOF
	}
	return n, nil
}

func splitAll(t *testing.T, format string, b []byte, step, size, limit int) (rows []string) {
	d := &Dataset{spec: Spec{MaxLine: int64(limit)}}
	sp := d.textSplitter(&file{Format: format}, &dribble{b, step}, 0, 1, size, false)
	var one batch
	var seen []byte
	for {
		err := sp.next(&one)
		if err != nil {
			if err == errEOF && string(seen) != string(b) {
				t.Fatalf("%s %q: the batches hold %q", format, b, seen)
			}
			if err != errEOF {
				return []string{"error: " + err.Error()} // the rows right before it are not told
			}
			return rows
		}
		if one.pos != int64(len(seen)) {
			t.Fatalf("%s %q: a batch at %d after %d bytes", format, b, one.pos, len(seen))
		}
		seen = append(seen, one.data...)
		for _, r := range one.rows {
			row := itoa(r.line) + ":" + string(one.text(r))
			if r.unreadable != nil {
				row += r.unreadable.what
			}
			rows = append(rows, row)
		}
	}
}
