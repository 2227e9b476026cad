//! A real InfluxDB 1.x of its own: on free ports of 127.0.0.1, in a temporary folder.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Influxd {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Influxd {
    fn drop(&mut self) {
        // That very process, which is not yet waited for, so that its pid is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Influxd {
    /// Starts one with a database `x`; none where it is not installed.
    pub fn start() -> Option<Influxd> {
        // Another process may take a free port before InfluxDB does.
        for _ in 0..5 {
            match Influxd::try_start() {
                Ok(influxd) => return Some(influxd),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
                Err(error) => eprintln!("influxd did not start: {error}"),
            }
        }
        panic!("influxd is installed and does not start");
    }

    fn try_start() -> std::io::Result<Influxd> {
        let folder = tempfile::tempdir()?;
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (http, rpc) = (free()?, free()?);
        let config = folder.path().join("influxdb.conf");
        let dir = folder.path().display();
        let text = format!(
            "reporting-disabled = true\nbind-address = \"{rpc}\"\n\
             [meta]\ndir = \"{dir}/meta\"\n\
             [data]\ndir = \"{dir}/data\"\nwal-dir = \"{dir}/wal\"\n\
             [monitor]\nstore-enabled = false\n\
             [continuous_queries]\nenabled = false\n\
             [http]\nbind-address = \"{http}\"\nlog-enabled = false\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("influxd");
        command.arg("run").arg("-config").arg(&config).env("HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut influxd = Influxd { child, port: http.port(), _folder: folder };
        loop {
            if let Ok((204, _)) = influxd.ask("GET", "/ping", b"") {
                let created = influxd.ask("POST", "/query?q=CREATE+DATABASE+x", b"")?;
                assert_eq!(created.0, 200, "{created:?}");
                return Ok(influxd);
            }
            if let Some(status) = influxd.child.try_wait()? {
                return Err(std::io::Error::other(format!("ended with {status}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes lines; gives status and answer.
    pub fn write(&self, lines: &[u8]) -> (u16, String) {
        self.ask("POST", "/write?db=x", lines).expect("influxd answers")
    }

    /// All points of `psstat`: the columns' names, and each point's values as text.
    pub fn points(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let query = "/query?db=x&epoch=ns&q=SELECT+*+FROM+psstat";
        let (status, text) = self.ask("GET", query, b"").expect("influxd answers");
        assert_eq!(status, 200, "{text}");
        let answer = json::read(&text);
        let series = answer.at("results").item(0).at("series").item(0);
        let columns = series.at("columns").items().iter().map(json::Value::text).collect();
        let rows = series.at("values").items();
        let row = |row: &json::Value| row.items().iter().map(json::Value::text).collect();
        (columns, rows.iter().map(row).collect())
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nAccept: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }
}

/// As much of JSON as it takes to read answers: numbers stay text, so that none is rounded.
mod json {
    #[derive(Debug)]
    pub enum Value {
        /// A string, a number, `true`, `false` or `null`.
        Text(String),
        List(Vec<Value>),
        Object(Vec<(String, Value)>),
    }

    impl Value {
        pub fn at(&self, key: &str) -> &Value {
            let Value::Object(pairs) = self else { panic!("no object: {self:?}") };
            &pairs.iter().find(|(name, _)| name == key).expect(key).1
        }

        pub fn item(&self, at: usize) -> &Value {
            &self.items()[at]
        }

        pub fn items(&self) -> &[Value] {
            let Value::List(items) = self else { panic!("no list: {self:?}") };
            items
        }

        pub fn text(&self) -> String {
            let Value::Text(text) = self else { panic!("no text: {self:?}") };
            text.clone()
        }
    }

    pub fn read(text: &str) -> Value {
        let mut rest = text.trim().chars().peekable();
        let value = value(&mut rest);
        assert_eq!(rest.next(), None, "behind the value of {text}");
        value
    }

    type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

    fn value(rest: &mut Rest<'_>) -> Value {
        match rest.peek() {
            Some('{') => Value::Object(between(rest, '}', |rest| {
                let key = string(rest);
                assert_eq!(rest.next(), Some(':'));
                (key, value(rest))
            })),
            Some('[') => Value::List(between(rest, ']', value)),
            Some('"') => Value::Text(string(rest)),
            _ => {
                let mut word = String::new();
                while let Some(c) = rest.next_if(|c| !matches!(c, ',' | ']' | '}')) {
                    word.push(c);
                }
                Value::Text(word)
            }
        }
    }

    fn between<T>(rest: &mut Rest<'_>, end: char, item: impl Fn(&mut Rest<'_>) -> T) -> Vec<T> {
        rest.next();
        let mut items = Vec::new();
        while rest.next_if_eq(&end).is_none() {
            items.push(item(rest));
            rest.next_if_eq(&',');
        }
        items
    }

    fn string(rest: &mut Rest<'_>) -> String {
        assert_eq!(rest.next(), Some('"'));
        let mut text = String::new();
        loop {
            match rest.next().expect("a string ends") {
                '"' => return text,
                '\\' => text.push(match rest.next().expect("an escape ends") {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'u' => {
                        let digits: String = rest.take(4).collect();
                        let code = u32::from_str_radix(&digits, 16).expect("four digits");
                        char::from_u32(code).expect("no surrogates are used here")
                    }
                    other => other,
                }),
                other => text.push(other),
            }
        }
    }
}
