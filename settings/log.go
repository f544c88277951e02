package settings

import (
	"io"
	"log/slog"
)

// Log is what a command that goes on running says.
type Log struct {
	set   *Set
	level *Setting[slog.Level]
	json  *Setting[bool]
}

// Log adds the settings of the log.
func (s *Set) Log() *Log {
	return &Log{
		set: s,
		level: add(s, define(groupRuns, "log-level", "LEVEL", "info", "debug, info, warn or error"), oneOf("level", "debug, info, warn or error", map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		})),
		json: add(s, define(groupRuns, "log-format", "FORMAT", "text", "text or json, on stderr"), oneOf("format", "text or json", map[string]bool{"text": false, "json": true})),
	}
}

// IsJSON says whether programs read it.
func (l *Log) IsJSON() bool { return l.json.Value }

// Logger returns the log, which says beside an error what to do about it.
func (l *Log) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.level.Value, ReplaceAttr: l.set.adviseLog}
	if l.json.Value {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
