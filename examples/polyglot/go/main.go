// A worker in Go that uses nothing but the contract: one process, one stream at a time, four slots.
//
//	WORKFLOW_ADDRESS=127.0.0.1:7012 go run .
//
// Its handlers are those of the conformance test; put your own into `handlers`.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	workerv1 "workflowsystem/worker/v1"
)

func main() {
	address := os.Getenv("WORKFLOW_ADDRESS")
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatalf("WORKFLOW_ADDRESS=%q: %v", address, err)
	}
	defer connection.Close()
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	NewWorker(4, handlers).Run(stopping, workerv1.NewWorkerServiceClient(connection))
}
