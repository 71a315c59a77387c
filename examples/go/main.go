// Tokens of the amo token broker for Go: standard library only.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Token is the broker's token response.
type Token struct {
	AccessToken string  `json:"access_token"`
	APIURL      string  `json:"api_url"`
	Generation  int64   `json:"generation"`
	UseFor      float64 `json:"use_for"`
	ExpiresIn   float64 `json:"expires_in"`

	useUntil, goodUntil time.Time // with Go's monotonic reading
}

// Error is a refusal of the broker. Status 0: no answer.
type Error struct {
	Status     int
	Code       string `json:"code"`
	Detail     string `json:"detail"`
	Remedy     string `json:"remedy"`
	ConnectURL string `json:"connect_url"`
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail) }

func (e *Error) isTransient() bool { return e.Status == 0 || e.Status == 429 || e.Status >= 500 }

// Broker caches tokens until use_until and asks once for all goroutines.
type Broker struct {
	URL, Key string
	mutex    sync.Mutex
	cached   map[string]*Token
}

// Token returns a token that is valid now.
func (b *Broker) Token(account string) (*Token, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	old := b.cached[account]
	if old != nil && time.Now().Before(old.useUntil) {
		return old, nil
	}
	token, err := b.ask(account, "GET", "/tokens/"+account, nil)
	if err != nil && err.isTransient() && old != nil && time.Now().Before(old.goodUntil) {
		return old, nil
	}
	if err != nil {
		return nil, err
	}
	return token, nil
}

// Report tells the broker that a token got a 401, and returns the next one.
func (b *Broker) Report(account string, token *Token) (*Token, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if newer := b.cached[account]; newer != nil && newer.Generation > token.Generation {
		return newer, nil
	}
	body := []byte(fmt.Sprintf(`{"generation":%d}`, token.Generation))
	next, err := b.ask(account, "POST", "/tokens/"+account+"/refresh", body)
	if err != nil {
		return nil, err
	}
	return next, nil
}

// Call calls the CRM. A 401 is reported, and the call repeated once.
func (b *Broker) Call(account, method, path string, body []byte) (int, []byte, error) {
	token, err := b.Token(account)
	if err != nil {
		return 0, nil, err
	}
	status, text, _, err := send(method, token.APIURL+path, token.AccessToken, body)
	if status != http.StatusUnauthorized {
		return status, text, err
	}
	if token, err = b.Report(account, token); err != nil {
		return 0, nil, err
	}
	status, text, _, err = send(method, token.APIURL+path, token.AccessToken, body)
	return status, text, err
}

func (b *Broker) ask(account, method, path string, body []byte) (*Token, *Error) {
	for attempt := 1; ; attempt++ {
		started := time.Now()
		status, text, retryAfter, _ := send(method, b.URL+path, b.Key, body)
		if status == http.StatusOK {
			token := &Token{}
			if json.Unmarshal(text, token) != nil {
				return nil, &Error{Detail: "unreadable answer"}
			}
			rest := math.Min(5, life(token.AccessToken)/10)
			token.useUntil = started.Add(seconds(token.UseFor))
			token.goodUntil = started.Add(seconds(token.ExpiresIn - rest))
			if token.UseFor > 0 {
				if b.cached == nil {
					b.cached = map[string]*Token{}
				}
				b.cached[account] = token
			}
			return token, nil
		}
		failure := &Error{}
		_ = json.Unmarshal(text, failure)
		failure.Status = status
		if attempt == 2 || !failure.isTransient() || retryAfter > 5 {
			return nil, failure
		}
		time.Sleep(seconds(math.Max(0.2, retryAfter)))
	}
}

var client = &http.Client{Timeout: 20 * time.Second}

func send(method, url, bearer string, body []byte) (int, []byte, float64, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	retryAfter, _ := strconv.ParseFloat(response.Header.Get("Retry-After"), 64)
	return response.StatusCode, text, retryAfter, err
}

// life returns the seconds between iat and exp; 0 where they cannot be read.
func life(token string) float64 {
	parts := strings.Split(token, ".")
	if len(parts) < 2 {
		return 0
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Exp, Iat float64 }
	_ = json.Unmarshal(text, &claims)
	return claims.Exp - claims.Iat
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

func main() {
	broker := &Broker{URL: os.Getenv("BROKER_URL"), Key: os.Getenv("BROKER_KEY")}
	limit, _ := strconv.ParseFloat(os.Getenv("AMO_SECONDS"), 64)
	calls, failures := 0, []string{}
	for end := time.Now().Add(seconds(limit)); time.Now().Before(end); time.Sleep(time.Second) {
		calls++
		status, text, err := broker.Call("demo", "GET", "/api/v4/account", nil)
		if err != nil || status != http.StatusOK || !bytes.Contains(text, []byte(`"subdomain":"demo"`)) {
			failures = append(failures, fmt.Sprint(status, err))
		}
	}
	summary, _ := json.Marshal(map[string]any{"calls": calls, "failures": failures})
	fmt.Println(string(summary))
}
