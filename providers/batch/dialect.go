package batch

import "nightshift/providers"

// A dialect is how a family of services wants its batch API to be spoken to.
// What differs is data; reading is lenient and the same for all (object.go,
// line.go).
//
// Paths are relative to the base URL and may hold {id} of a batch, {file} of a
// file, {name} and {model}. A path that begins with // begins at the host. The
// body of create may hold $file, $name, $model, $endpoint, $window and $hours
// as JSON values, $metadata as a further member where there is any, and $rows,
// the lines of the input with commas between.
type dialect struct {
	// Input files. Without upload the rows travel in the call that creates.
	upload   string
	purpose  string
	expires  string // seconds until the server deletes an input file by itself
	checked  bool   // a file must be processed before a batch is made of it
	session  bool   // a file is described first, and then sent to the URL that is answered
	dataset  string // path that makes the data set which a file is put in
	file     string // of one file: what is known of it, and its deletion
	sizes    bool   // that says how long the file is
	titled   bool   // the form of an upload names the file in a field, too
	content  string // of a result file
	pages    bool   // content comes in pages of rows
	links    bool   // content is a list of URLs, which carry their own key
	fallback string // for content when that is not there

	// Batches.
	create string
	order  string // body of create
	list   string // "" where there is none
	after  string // parameter of list that takes the last id of a page
	paged  bool   // list counts its pages
	get    string
	cancel string // "" where a batch cannot be cancelled
	remove string // deletes a batch; "" where nothing does

	// Lines of an input file.
	id, body string // names of the members for a row's id and its request
	prefix   string // of url, before the path of the format
	bare     bool   // without method and url

	// Reading what the server says of a batch.
	result  string // handle of the results of every batch that has ended, where it names no file
	settles bool   // an end may turn out to be none, within settleTime
}

// openAI is the family that most services copy.
var openAI = dialect{
	upload: "/files", purpose: "batch", file: "/files/{file}", sizes: true,
	content: "/files/{file}/content",
	create:  "/batches", list: "/batches?limit=100", after: "after",
	get: "/batches/{id}", cancel: "/batches/{id}/cancel",
	order: `{"input_file_id":$file,"endpoint":$endpoint,"completion_window":$window$metadata}`,
	id:    "custom_id", body: "body", prefix: "/v1",
}

// dialects are all there are, under their names.
var dialects = map[string]dialect{
	providers.BatchOpenAI: openAI,
	providers.BatchAzure: openAI.with(func(d *dialect) {
		d.prefix, d.checked, d.expires = "", true, "2592000"
	}),
	providers.BatchZhipu: openAI.with(func(d *dialect) {
		d.prefix = "/v4"
		d.order = `{"input_file_id":$file,"endpoint":$endpoint,"completion_window":$window,` +
			`"auto_delete_input_file":false$metadata}` // by which a lost batch is found
	}),
	providers.BatchMistral: openAI.with(func(d *dialect) {
		d.create, d.list, d.after, d.paged = "/batch/jobs", "/batch/jobs?page_size=100", "", true
		d.get, d.cancel = "/batch/jobs/{id}", "/batch/jobs/{id}/cancel"
		d.order = `{"input_files":[$file],"model":$model,"endpoint":$endpoint,"timeout_hours":$hours$metadata}`
		d.bare = true
	}),
	providers.BatchTogether: openAI.with(func(d *dialect) {
		d.upload, d.purpose, d.titled = "/files/upload", "batch-api", true
		d.list, d.after = "/batches", ""
		d.order = `{"input_file_id":$file,"endpoint":$endpoint,"completion_window":$window}`
		d.bare = true
	}),
	providers.BatchXAI: openAI.with(func(d *dialect) {
		d.after, d.cancel = "", "/batches/{id}:cancel"
		d.order = `{"name":$name,"input_file_id":$file}`
		d.content, d.pages, d.result, d.settles = "/batches/{id}/results?limit=200", true, "results", true
	}),
	providers.BatchGemini: {
		upload: "//upload/v1beta/files", session: true, file: "/{file}",
		content: "//download/v1beta/{file}:download?alt=media",
		create:  "/models/{model}:batchGenerateContent", list: "/batches?pageSize=100",
		get: "/{id}", cancel: "/{id}:cancel", remove: "/{id}",
		order: `{"batch":{"display_name":$name,"input_config":{"file_name":$file}}}`,
		id:    "key", body: "request", bare: true,
	},
	providers.BatchFireworks: {
		dataset: "/datasets", upload: "/datasets/{file}:upload", file: "/datasets/{file}",
		content: "/datasets/{file}:getDownloadEndpoint", links: true,
		create: "/batchInferenceJobs?batchInferenceJobId={file}", list: "/batchInferenceJobs?pageSize=200",
		get: "/batchInferenceJobs/{id}", remove: "/batchInferenceJobs/{id}",
		order: `{"displayName":$name,"model":$model,"inputDatasetId":$file,"outputDatasetId":$output}`,
		id:    "custom_id", body: "body", bare: true,
	},
	providers.BatchAnthropic: {
		create: "/messages/batches", list: "/messages/batches?limit=1000", after: "after_id",
		get: "/messages/batches/{id}", cancel: "/messages/batches/{id}/cancel", remove: "/messages/batches/{id}",
		content: "/messages/batches/{id}/results", result: "results",
		order: `{"requests":[$rows]}`,
		id:    "custom_id", body: "params", bare: true,
	},
	providers.BatchOpenRouter: {
		create: "/batches", list: "/batches?limit=100", after: "after", get: "/batches/{id}",
		content: "/batches/{id}/results?limit=200", pages: true, fallback: "/batches/{id}", result: "results",
		order: `{"endpoint":$endpoint,"model":$model,"requests":[$rows]}`, // in this order: it is read as it comes
		id:    "custom_id", body: "body", prefix: "/v1", bare: true,
	},
}

// with changes a copy.
func (d dialect) with(change func(*dialect)) dialect {
	change(&d)
	return d
}

// inline reports whether the rows travel in the call that creates a batch.
func (d dialect) inline() bool { return d.upload == "" }
