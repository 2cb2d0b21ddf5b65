package batches

import (
	"net/http"
	"strings"
)

// The operations of the APIs, by which calls are counted.
const (
	opUpload  = "upload"
	opFiles   = "files" // a list of files
	opFile    = "file"
	opContent = "content"
	opRemove  = "remove" // a file
	opCreate  = "create"
	opList    = "list"
	opGet     = "get"
	opCancel  = "cancel"
	opDelete  = "delete" // a batch
)

// A style is a vendor's way of speaking.
type style int

const (
	openai style = iota
	anthropic
	gemini
	mistral
)

// operations are what can be asked in a style.
func (s style) operations() map[string]func(*call) bool {
	switch s {
	case anthropic:
		return map[string]func(*call) bool{
			opCreate: (*call).createMessages, opList: (*call).listBatches, opGet: (*call).getBatch,
			opContent: (*call).messagesResults, opCancel: (*call).cancelBatch, opDelete: (*call).deleteBatch,
		}
	case gemini:
		return map[string]func(*call) bool{
			opUpload: (*call).uploadGemini, opFiles: (*call).listFiles, opFile: (*call).getFile, opContent: (*call).content,
			opRemove: (*call).removeFile, opCreate: (*call).createGemini, opList: (*call).listBatches,
			opGet: (*call).getBatch, opCancel: (*call).cancelBatch, opDelete: (*call).deleteBatch,
		}
	}
	ops := map[string]func(*call) bool{
		opUpload: (*call).uploadForm, opFiles: (*call).listFiles, opFile: (*call).getFile, opContent: (*call).content,
		opRemove: (*call).removeFile, opCreate: (*call).createFromFile, opList: (*call).listBatches,
		opGet: (*call).getBatch, opCancel: (*call).cancelBatch,
	}
	if s == mistral {
		ops[opCreate] = (*call).createMistral
	}
	return ops
}

// A Place is what a path stands for.
type Place struct {
	style style
	op    string
	id    string // of a file or batch, or the model's name
}

type place Place

// Find says what a request asks for; ok is false when it is nothing of ours.
func Find(r *http.Request) (at Place, ok bool) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	finders := []func(method, path string) (Place, bool){findMessages, findMistral, findOpenAI}
	if r.Header.Get("X-Goog-Api-Key") != "" || strings.Contains(path, "/v1beta/") || uploads(r) {
		finders = []func(method, path string) (Place, bool){findGemini}
	}
	for _, find := range finders {
		if at, ok = find(r.Method, path); ok {
			return at, true
		}
	}
	return Place{}, false
}

// uploads reports whether a request goes on with an upload that was begun
// before; its id lets it in.
func uploads(r *http.Request) bool { return r.URL.Query().Get("upload_id") != "" }

// NeedsKey reports whether a request must have a key.
func NeedsKey(r *http.Request) bool { return !uploads(r) }

// under cuts a path behind a folder: what is in it, empty for the folder.
func under(path, folder string) (rest string, ok bool) {
	if strings.HasSuffix(path, folder) {
		return "", true
	}
	_, rest, ok = strings.Cut(path, folder+"/")
	return rest, ok
}

// member chooses the operation on a folder or on a thing in it.
func member(s style, method, rest string, folder, thing map[string]string) Place {
	id, verb, _ := strings.Cut(rest, "/")
	if rest == "" {
		return Place{s, folder[method], ""}
	}
	return Place{s, thing[strings.TrimSpace(method+" "+verb)], id}
}

var (
	batchFolder = map[string]string{"POST": opCreate, "GET": opList}
	batchThing  = map[string]string{
		"GET": opGet, "POST cancel": opCancel, "GET results": opContent, "DELETE": opDelete,
	}
	fileFolder = map[string]string{"POST": opUpload, "GET": opFiles}
	fileThing  = map[string]string{"GET": opFile, "GET content": opContent, "DELETE": opRemove}
)

func findMessages(method, path string) (Place, bool) {
	rest, ok := under(path, "/messages/batches")
	return member(anthropic, method, rest, batchFolder, batchThing), ok
}

func findMistral(method, path string) (Place, bool) {
	rest, ok := under(path, "/batch/jobs")
	return member(mistral, method, rest, batchFolder, batchThing), ok
}

func findOpenAI(method, path string) (Place, bool) {
	if strings.HasSuffix(path, "/files/upload") && method == http.MethodPost { // Together
		return Place{openai, opUpload, ""}, true
	}
	if rest, ok := under(path, "/files"); ok {
		return member(openai, method, rest, fileFolder, fileThing), true
	}
	rest, ok := under(path, "/batches")
	return member(openai, method, rest, batchFolder, batchThing), ok
}

// findGemini knows the paths of Google, which have verbs behind a colon.
func findGemini(method, path string) (Place, bool) {
	if before, ok := strings.CutSuffix(path, ":batchGenerateContent"); ok {
		_, model, _ := strings.Cut(before, "/models/")
		return Place{gemini, opCreate, model}, method == http.MethodPost
	}
	if strings.HasSuffix(path, "/files") && strings.Contains(path, "/upload/") {
		return Place{gemini, opUpload, ""}, true
	}
	if rest, ok := under(path, "/files"); ok {
		thing := map[string]string{"GET": opFile, "GET download": opContent, "DELETE": opRemove}
		return member(gemini, method, strings.Replace(rest, ":", "/", 1), map[string]string{"GET": opFiles}, thing), true
	}
	rest, ok := under(path, "/batches")
	thing := map[string]string{"GET": opGet, "POST cancel": opCancel, "DELETE": opDelete}
	return member(gemini, method, strings.Replace(rest, ":", "/", 1), map[string]string{"GET": opList}, thing), ok
}
