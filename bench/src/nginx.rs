//! The server we compare with: nginx with one worker, giving the agent's own answer as a literal.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::agent::Place;
use crate::machine::{self, SERVER_CORE};
use crate::process::{Ending, Process};
use crate::settings::{NGINX, Settings};

/// Writes a configuration that answers with `body`.
pub(crate) fn configure(work: &Path, body: &str) -> Result<()> {
    ensure!(!body.contains(['\'', '$', '\\']), "the body cannot stand in nginx's configuration: {body}");
    fs::create_dir_all(work.join("nginx")).context("nginx's folder cannot be made")?;
    fs::write(work.join("nginx/nginx.conf"), configuration(body))
        .context("nginx's configuration cannot be written")
}

/// Starts it.
pub(crate) fn start(settings: &Settings, place: Place) -> Result<Process> {
    let mut command = match place {
        Place::Pinned => machine::pinned(SERVER_CORE, "nginx"),
        Place::Anywhere => Command::new("nginx"),
    };
    let folder = fs::canonicalize(settings.work.join("nginx"))?;
    command.arg("-p").arg(&folder).arg("-e").arg("error.log").arg("-c").arg("nginx.conf");
    Process::spawn(command, &settings.work.join("nginx.log"), Ending::Terminate)
}

/// As fast as nginx gets: no log, no limit on requests a connection, and a first buffer that holds a head with a token.
fn configuration(body: &str) -> String {
    format!(
        "daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    client_header_buffer_size 4k;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type application/json;
    server {{
        listen {NGINX} backlog=4096;
        location = /v1/credentials {{ return 200 '{body}'; }}
        location = /healthz {{ return 200 'ok'; }}
    }}
}}
"
    )
}
