//! Logs to standard error, and OpenTelemetry traces where they are asked for.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// Holds the exporter; spans are flushed by [`Telemetry::stop`].
#[derive(Default)]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Installs logging with this filter, and tracing to `otlp_endpoint` if there is one. JSON unless a person watches.
    ///
    /// # Errors
    /// When the filter or the endpoint can't be understood.
    pub fn start(filter: &str, otlp_endpoint: Option<&str>) -> Result<Self, String> {
        let filter = EnvFilter::try_new(filter).map_err(|error| format!("the log filter: {error}"))?;
        let terminal = std::io::stderr().is_terminal();
        let plain = fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
        let logs = if terminal { plain.boxed() } else { plain.json().boxed() };
        let provider = otlp_endpoint.map(exporter).transpose()?;
        let traces = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("taskpass")));
        // A second start in one process (tests) keeps the first subscriber.
        let _ = tracing_subscriber::registry().with(filter).with(logs).with(traces).try_init();
        Ok(Self(provider))
    }

    /// Sends what is left.
    pub fn stop(self) {
        if let Some(provider) = self.0 {
            let _ = provider.shutdown();
        }
    }
}

fn exporter(endpoint: &str) -> Result<SdkTracerProvider, String> {
    crate::tls::install_provider();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| format!("the OTLP endpoint: {error}"))?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("taskpass").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
