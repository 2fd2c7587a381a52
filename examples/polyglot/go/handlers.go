package main

import (
	"context"
	"encoding/json"
	"time"
)

// A Handler runs one task. The input and the output are JSON. It stops when its context ends, and calls alive
// regularly to report that it is alive.
type Handler func(task context.Context, input []byte, alive func()) ([]byte, *Failure)

// A Failure says why a handler failed. Retry policies match its type.
type Failure struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

var handlers = map[string]Handler{
	"conformance.echo": func(_ context.Context, input []byte, _ func()) ([]byte, *Failure) {
		return input, nil
	},
	"conformance.fail": func(_ context.Context, input []byte, _ func()) ([]byte, *Failure) {
		failure := &Failure{}
		if err := json.Unmarshal(input, failure); err != nil {
			return nil, &Failure{Type: "BadInput", Message: err.Error()}
		}
		return nil, failure
	},
	"conformance.wait": func(task context.Context, _ []byte, alive func()) ([]byte, *Failure) {
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-task.Done():
				return nil, nil
			case <-ticker.C:
				alive()
			}
		}
	},
}
