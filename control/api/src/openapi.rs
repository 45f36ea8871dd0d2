//! The interface described for other programs: the OpenAPI document that ships as `configs/openapi.json`.

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, Ref};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Required, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::request::{
    Deploy, DropFilter, DropPageQuery, ExpectationFilter, Explain, SessionFilter, SessionPageQuery,
};
use crate::{answer, blocks, words};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// The document, as it ships.
pub fn document() -> String {
    let text = serde_json::to_string_pretty(&build()).expect("an OpenAPI document is JSON");
    text + "\n"
}

fn build() -> OpenApi {
    let mut schemas = Schemas::new();
    let paths = PathsBuilder::new()
        .path("/v1/status", {
            let operation = Describe::new("status", "What the appliance is and how it is.");
            PathItem::new(HttpMethod::Get, operation.answer::<answer::Status>(&mut schemas))
        })
        .path("/v1/policy", {
            let operation = Describe::new(
                "deploy",
                "Run another policy: all workers switch to it at once, or none does and the old one goes on.",
            );
            let operation = operation.body::<Deploy>(&mut schemas);
            PathItem::new(HttpMethod::Put, operation.answer::<answer::Deployed>(&mut schemas))
        })
        .path("/v1/policy/dry-run", {
            let operation = Describe::new(
                "dryRun",
                "What a deploy of this policy would mean to the live sessions: which would end, which would go on though \
                 not allowed any more. Nothing changes.",
            );
            let operation = operation.body::<Deploy>(&mut schemas);
            PathItem::new(HttpMethod::Post, operation.answer::<answer::DryRun>(&mut schemas))
        })
        .path("/v1/explain", {
            let operation = Describe::new(
                "explain",
                "What the appliance knows of a packet: what the policy in force would do with a first one, its live \
                 session, the session of it that was cut, its last drops.",
            );
            let operation = operation.parameters::<Explain>();
            PathItem::new(HttpMethod::Get, operation.answer::<answer::LiveExplanation>(&mut schemas))
        })
        .path("/v1/asymmetric", {
            let operation =
                Describe::new("asymmetric", "Prefixes of which only one direction of TCP comes through.");
            PathItem::new(HttpMethod::Get, operation.answer::<answer::Asymmetric>(&mut schemas))
        })
        .path("/v1/sessions", {
            let list = Describe::new("listSessions", "A page of the live sessions.");
            let list = list.parameters::<SessionFilter>().parameters::<SessionPageQuery>();
            let mut item = PathItem::new(HttpMethod::Get, list.answer::<answer::SessionPage>(&mut schemas));
            let end = Describe::new(
                "endSessions",
                "End the live sessions that fit, all of them without a filter; answers how many were ended.",
            );
            let end = end.parameters::<SessionFilter>();
            item.merge_operations(PathItem::new(
                HttpMethod::Delete,
                end.answer::<answer::SessionCount>(&mut schemas),
            ));
            item
        })
        .path("/v1/sessions/count", {
            let operation = Describe::new("countSessions", "How many live sessions fit.");
            let operation = operation.parameters::<SessionFilter>();
            PathItem::new(HttpMethod::Get, operation.answer::<answer::SessionCount>(&mut schemas))
        })
        .path("/v1/expectations", {
            let operation = Describe::new(
                "listExpectations",
                "Connections that control sessions have announced, and that may open without a rule.",
            );
            let operation = operation.parameters::<ExpectationFilter>();
            PathItem::new(HttpMethod::Get, operation.answer::<answer::Expectations>(&mut schemas))
        })
        .path("/v1/blocks", {
            let list = Describe::new("listBlocks", "Sources that may open no session for a while.");
            let list = list.parameters::<blocks::BlockFilter>();
            let mut item = PathItem::new(HttpMethod::Get, list.answer::<blocks::Blocks>(&mut schemas));
            let block = Describe::new(
                "block",
                "Block a source: its packets that belong to no live session are dropped. Answers 0 if it was only to be \
                 extended and is not blocked.",
            );
            let block = block.parameters::<blocks::Block>();
            item.merge_operations(PathItem::new(
                HttpMethod::Post,
                block.answer::<blocks::BlockCount>(&mut schemas),
            ));
            let release = Describe::new(
                "releaseBlocks",
                "Let the blocked sources go that fit, all of them without a filter; answers how many.",
            );
            let release = release.parameters::<blocks::BlockFilter>();
            item.merge_operations(PathItem::new(
                HttpMethod::Delete,
                release.answer::<blocks::BlockCount>(&mut schemas),
            ));
            item
        })
        .path("/v1/counters", {
            let operation = Describe::new("counters", "All counters, since the start.");
            PathItem::new(HttpMethod::Get, operation.answer::<answer::Counters>(&mut schemas))
        })
        .path("/v1/drops", {
            let operation = Describe::new("listDrops", "The last drops.");
            let operation = operation.parameters::<DropFilter>().parameters::<DropPageQuery>();
            PathItem::new(HttpMethod::Get, operation.answer::<answer::Drops>(&mut schemas))
        });
    // Filters do not say by themselves what they refer to.
    refer::<words::Prefix>(&mut schemas);
    refer::<words::Protocol>(&mut schemas);
    refer::<words::SessionId>(&mut schemas);
    refer::<words::SessionState>(&mut schemas);
    refer::<words::RuleName>(&mut schemas);
    refer::<words::PortName>(&mut schemas);
    schemas.sort_by(|(one, _), (other, _)| one.cmp(other));
    schemas.dedup_by(|(one, _), (other, _)| one == other);
    let components =
        schemas.into_iter().fold(ComponentsBuilder::new(), |all, (name, schema)| all.schema(name, schema));
    let info = InfoBuilder::new()
        .title("sekisho")
        .version("1")
        .description(Some(
            "The management interface of a running sekisho: HTTP/1.1 with JSON on its Unix socket, \
             /run/sekisho/sekisho.sock unless the appliance file names another. For example: \
             curl --unix-socket /run/sekisho/sekisho.sock http://sekisho/v1/status",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    OpenApiBuilder::new().info(info.build()).paths(paths.build()).components(Some(components.build())).build()
}

/// An operation in the making.
struct Describe(OperationBuilder);

impl Describe {
    fn new(id: &str, summary: &str) -> Self {
        Self(OperationBuilder::new().operation_id(Some(id)).summary(Some(summary)))
    }

    fn parameters<P: IntoParams>(self) -> Self {
        let parameters: Vec<Parameter> = P::into_params(|| None);
        Self(parameters.into_iter().fold(self.0, OperationBuilder::parameter))
    }

    fn body<T: ToSchema>(self, schemas: &mut Schemas) -> Self {
        let content = ContentBuilder::new().schema(Some(refer::<T>(schemas))).build();
        let body =
            RequestBodyBuilder::new().required(Some(Required::True)).content("application/json", content);
        Self(self.0.request_body(Some(body.build())))
    }

    /// The operation, which answers with `T` or a fault.
    fn answer<T: ToSchema>(self, schemas: &mut Schemas) -> OperationBuilder {
        let content = |schema| ContentBuilder::new().schema(Some(schema)).build();
        let done = content(RefOr::Ref(refer::<T>(schemas)));
        let fault = content(RefOr::Ref(refer::<answer::Fault>(schemas)));
        let done = ResponseBuilder::new().description("Done.").content("application/json", done);
        let fault = ResponseBuilder::new()
            .description("Not done: 400 the request is wrong, 403 whoever asks may not, 413 it is too large, 422 the policy is wrong, 503 it failed.")
            .content("application/json", fault);
        self.0.response("200", done).response("default", fault)
    }
}

fn refer<T: ToSchema>(schemas: &mut Schemas) -> Ref {
    let name = T::name();
    schemas.push((name.to_string(), T::schema()));
    T::schemas(schemas);
    Ref::from_schema_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_document_that_ships_is_that_of_the_code() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/openapi.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, document()).unwrap();
        }
        let shipped = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            shipped == document(),
            "configs/openapi.json differs from the code: UPDATE_DOCS=1 cargo nextest run -p sekisho-api openapi"
        );
    }

    #[test]
    fn every_path_and_every_reference_is_there() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        for (path, methods) in crate::http::PATHS {
            for method in *methods {
                let method = method.as_str().to_ascii_lowercase();
                assert!(document["paths"][path][&method].is_object(), "{method} {path}");
            }
        }
        assert_eq!(document["paths"].as_object().unwrap().len(), crate::http::PATHS.len());
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is named and not there");
        }
    }
}
