// Package requests reads the bodies of all wire formats into one form, and
// refuses what the vendors refuse.
package requests
