package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	typev1 "workflowsystem/type/v1"
	workerv1 "workflowsystem/worker/v1"
)

const (
	maxMessageBytes = 2 << 20 // the largest message, if the orchestrator can receive it
	envelopeBytes   = 64      // the size of a message without its items
	idlePause       = 20 * time.Second
	reconnectPause  = 200 * time.Millisecond
	stopGrace       = 10 * time.Second
)

// An attempt is a task that the worker holds. It outlives the stream on which its lease arrived.
type attempt struct {
	lease     *workerv1.Lease
	cancel    context.CancelFunc
	alive     bool // the handler called alive since the last heartbeat
	revoked   bool // its result is not reported
	cancelled bool // the execution was cancelled
}

// A Worker has the state that must survive a broken stream: attempts, and results that nobody acknowledged.
type Worker struct {
	mutex      sync.Mutex
	bootID     string
	slots      int32
	handlers   map[string]Handler
	inHand     map[string]*attempt // by token
	unanswered map[string]*workerv1.TaskResult
	stream     *Stream // nil while there is none
	draining   bool
	idle       *sync.Cond // signalled when an attempt or a result is removed
}

// NewWorker makes a worker that runs up to slots tasks at the same time.
func NewWorker(slots int32, handlers map[string]Handler) *Worker {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	worker := &Worker{
		bootID: hex.EncodeToString(id), slots: slots, handlers: handlers,
		inHand: map[string]*attempt{}, unanswered: map[string]*workerv1.TaskResult{},
	}
	worker.idle = sync.NewCond(&worker.mutex)
	return worker
}

// Run opens one stream after another until stopping ends. Then it hands its tasks back, and returns.
func (w *Worker) Run(stopping context.Context, client workerv1.WorkerServiceClient) {
	finished := make(chan struct{})
	go func() {
		<-stopping.Done()
		w.leave()
		close(finished)
	}()
	for !w.isDraining() {
		if err := w.oneStream(client); err != nil && !w.isDraining() {
			log.Printf("the stream broke: %v; the next one follows", err)
			time.Sleep(reconnectPause)
		}
	}
	<-finished
}

// hello describes the worker.
func (w *Worker) hello() *workerv1.Hello {
	host, _ := os.Hostname()
	return &workerv1.Hello{
		WorkerId:  fmt.Sprintf("%s-%d", host, os.Getpid()),
		BootId:    w.bootID,
		TaskTypes: slices.Sorted(maps.Keys(w.handlers)),
		Slots:     w.slots,
		Sdk:       "go-example/1",
	}
}

// attach begins a stream: it repeats the results that nobody acknowledged, and grants credits for the free slots.
func (w *Worker) attach(stream *Stream) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.stream = stream
	if free := w.slots - int32(len(w.inHand)) - int32(len(w.unanswered)); free > 0 && !w.draining {
		stream.grant(free)
	}
	stream.report(slices.Collect(maps.Values(w.unanswered)))
	w.renewLocked()
	if w.draining {
		stream.drain()
		if len(w.inHand)+len(w.unanswered) == 0 {
			stream.close()
		}
	}
}

func (w *Worker) take(leases []*workerv1.Lease) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, lease := range leases {
		task, cancel := context.WithTimeout(context.Background(), lease.GetStartToClose().AsDuration())
		each := &attempt{lease: lease, cancel: cancel}
		w.inHand[string(lease.GetTask().GetToken())] = each
		go w.work(task, each)
	}
}

// work runs the handler of an attempt and reports the result.
func (w *Worker) work(task context.Context, each *attempt) {
	defer each.cancel()
	alive := func() {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		each.alive = true
	}
	result := &workerv1.TaskResult{Task: each.lease.GetTask()}
	if handler, found := w.handlers[each.lease.GetTaskType()]; !found {
		setFailure(result, &Failure{Type: "UnknownTaskType", Message: "this worker has no such handler"})
	} else if output, failure := handler(task, each.lease.GetInput(), alive); failure != nil {
		setFailure(result, failure)
	} else {
		result.Outcome = &workerv1.TaskResult_Output{Output: output}
	}
	w.end(each, result, task.Err() != nil)
}

func setFailure(result *workerv1.TaskResult, failure *Failure) {
	message := &typev1.Failure{Type: failure.Type, Message: failure.Message}
	result.Outcome = &workerv1.TaskResult_Failure{Failure: message}
}

// end removes an attempt. If it was revoked, its result is not reported, and its credit is granted again.
func (w *Worker) end(each *attempt, result *workerv1.TaskResult, stopped bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	defer w.idle.Broadcast()
	token := string(each.lease.GetTask().GetToken())
	delete(w.inHand, token)
	if each.revoked {
		if w.stream != nil && !w.draining {
			w.stream.grant(1)
		}
		return
	}
	if stopped && each.cancelled {
		result.Outcome = &workerv1.TaskResult_Cancelled{Cancelled: &workerv1.TaskCancelled{}}
	} else if stopped && w.draining {
		result.Outcome = &workerv1.TaskResult_HandedBack{HandedBack: &workerv1.TaskHandedBack{}}
	}
	w.unanswered[token] = result
	if w.stream != nil {
		w.stream.report([]*workerv1.TaskResult{result})
	}
}

// answered forgets acknowledged results, whatever the status: an unknown status counts as stale.
func (w *Worker) answered(acks []*workerv1.ResultAck) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, ack := range acks {
		delete(w.unanswered, string(ack.GetTask().GetToken()))
	}
	w.idle.Broadcast()
}

// stop stops the handler of a claim, if the worker still holds it.
func (w *Worker) stop(claim *workerv1.TaskRef, revoked bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if each, found := w.inHand[string(claim.GetToken())]; found {
		each.revoked = each.revoked || revoked
		each.cancelled = true
		each.cancel()
	}
}

// renew sends a heartbeat for every task that the worker holds.
func (w *Worker) renew() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.renewLocked()
}

func (w *Worker) renewLocked() {
	var beats []*workerv1.TaskHeartbeat
	for _, each := range w.inHand {
		beats = append(beats, &workerv1.TaskHeartbeat{Task: each.lease.GetTask(), HandlerAlive: each.alive})
		each.alive = false
	}
	if w.stream != nil { // also without tasks: the message shows that the connection works
		w.stream.renew(beats)
	}
}

// renewalPause returns a third of the lease TTL or of the shortest heartbeat timeout, and at most 20 s.
func (w *Worker) renewalPause(leaseTTL time.Duration) time.Duration {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	shortest := leaseTTL
	for _, each := range w.inHand {
		if timeout := each.lease.GetHeartbeatTimeout(); timeout != nil {
			shortest = min(shortest, timeout.AsDuration())
		}
	}
	return min(shortest/3, idlePause)
}

func (w *Worker) isDraining() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.draining
}

// leave accepts no more leases, stops the handlers, and waits until every result is acknowledged.
func (w *Worker) leave() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.draining = true
	if w.stream != nil {
		w.stream.drain()
	}
	for _, each := range w.inHand {
		each.cancel()
	}
	given := time.AfterFunc(stopGrace, w.idle.Broadcast)
	defer given.Stop()
	for deadline := time.Now().Add(stopGrace); len(w.inHand)+len(w.unanswered) > 0 && time.Now().Before(deadline); {
		w.idle.Wait()
	}
	if w.stream != nil {
		w.stream.close()
	}
}
