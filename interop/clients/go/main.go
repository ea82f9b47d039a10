// Asks the default credential chain of the Go SDK for credentials, once at start and once per `again` on stdin.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

type answer struct {
	AccessKeyID string `json:"accessKeyId"`
	HasSecret   bool   `json:"hasSecret"`
	HasToken    bool   `json:"hasToken"`
	Expiration  string `json:"expiration"`
}

func main() {
	settings, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	show(settings.Credentials)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() == "again" {
		settings.Credentials.(*aws.CredentialsCache).Invalidate()
		show(settings.Credentials)
	}
}

func show(chain aws.CredentialsProvider) {
	credentials, err := chain.Retrieve(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	expiration := ""
	if credentials.CanExpire {
		expiration = credentials.Expires.UTC().Format("2006-01-02T15:04:05Z07:00")
	}
	err = json.NewEncoder(os.Stdout).Encode(answer{
		AccessKeyID: credentials.AccessKeyID,
		HasSecret:   credentials.SecretAccessKey != "",
		HasToken:    credentials.SessionToken != "",
		Expiration:  expiration,
	})
	if err != nil {
		log.Fatal(err)
	}
}
