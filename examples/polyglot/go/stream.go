package main

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	workerv1 "workflowsystem/worker/v1"
)

// A Stream is one session. Only one goroutine writes to it, as gRPC requires.
type Stream struct {
	outgoing chan *workerv1.WorkerMessage // nil closes this side
	done     chan struct{}
	maxBytes int // the largest message to the orchestrator
}

// oneStream opens a stream and serves it until it ends: Hello, Welcome, then all other messages.
func (w *Worker) oneStream(client workerv1.WorkerServiceClient) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	call, err := client.Session(ctx)
	if err != nil {
		return err
	}
	stream := &Stream{outgoing: make(chan *workerv1.WorkerMessage, 256), done: make(chan struct{})}
	defer close(stream.done)
	go stream.write(call)
	stream.say(&workerv1.WorkerMessage{Message: &workerv1.WorkerMessage_Hello{Hello: w.hello()}})
	defer w.detach(stream)
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.serve(stream, message)
	}
}

// serve handles one message of the orchestrator. It ignores messages of unknown kinds.
func (w *Worker) serve(stream *Stream, message *workerv1.OrchestratorMessage) {
	switch kind := message.GetMessage().(type) {
	case *workerv1.OrchestratorMessage_Welcome:
		stream.maxBytes = maxMessageBytes
		if said := int(kind.Welcome.GetMaximumMessageBytes()); said > 0 {
			stream.maxBytes = min(said, maxMessageBytes)
		}
		w.attach(stream)
		go w.renewUntilDone(stream, kind.Welcome.GetLeaseTtl().AsDuration())
	case *workerv1.OrchestratorMessage_Leases:
		w.take(kind.Leases.GetLeases())
	case *workerv1.OrchestratorMessage_ResultAcks:
		w.answered(kind.ResultAcks.GetAcks())
		w.take(kind.ResultAcks.GetLeases())
	case *workerv1.OrchestratorMessage_HeartbeatAcks:
		for _, claim := range kind.HeartbeatAcks.GetStale() {
			w.stop(claim, true)
		}
	case *workerv1.OrchestratorMessage_Cancels:
		for _, each := range kind.Cancels.GetCancels() {
			w.stop(each.GetTask(), each.GetReason() == workerv1.CancelReason_CANCEL_REASON_REVOKED)
		}
	case *workerv1.OrchestratorMessage_Drain:
		stream.close() // the next stream continues with the tasks
	}
}

func (w *Worker) renewUntilDone(stream *Stream, leaseTTL time.Duration) {
	for {
		select {
		case <-stream.done:
			return
		case <-time.After(w.renewalPause(leaseTTL)):
			w.renew()
		}
	}
}

func (w *Worker) detach(stream *Stream) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.stream == stream {
		w.stream = nil
	}
}

func (s *Stream) write(call grpc.BidiStreamingClient[workerv1.WorkerMessage, workerv1.OrchestratorMessage]) {
	for {
		select {
		case <-s.done:
			return
		case message := <-s.outgoing:
			if message == nil {
				_ = call.CloseSend()
				return
			}
			if call.Send(message) != nil {
				return // Recv returns the reason
			}
		}
	}
}

func (s *Stream) say(message *workerv1.WorkerMessage) {
	select {
	case s.outgoing <- message:
	case <-s.done:
	}
}

func (s *Stream) grant(amount int32) {
	credits := &workerv1.Credits{Amount: amount}
	s.say(&workerv1.WorkerMessage{Message: &workerv1.WorkerMessage_Credits{Credits: credits}})
}

// report sends results. Each message has as many as the orchestrator can receive.
func (s *Stream) report(results []*workerv1.TaskResult) {
	batch := &workerv1.Results{}
	send := func() {
		if len(batch.Results) > 0 {
			s.say(&workerv1.WorkerMessage{Message: &workerv1.WorkerMessage_Results{Results: batch}})
		}
	}
	size := 0
	for _, result := range results {
		bytes := proto.Size(result) + 16
		if size+bytes > s.maxBytes-envelopeBytes {
			send()
			batch, size = &workerv1.Results{}, 0
		}
		batch.Results = append(batch.Results, result)
		size += bytes
	}
	send()
}

func (s *Stream) renew(beats []*workerv1.TaskHeartbeat) {
	message := &workerv1.Heartbeats{Heartbeats: beats}
	s.say(&workerv1.WorkerMessage{Message: &workerv1.WorkerMessage_Heartbeats{Heartbeats: message}})
}

func (s *Stream) drain() {
	s.say(&workerv1.WorkerMessage{Message: &workerv1.WorkerMessage_Draining{Draining: &workerv1.Draining{}}})
}

func (s *Stream) close() {
	s.say(nil)
}
