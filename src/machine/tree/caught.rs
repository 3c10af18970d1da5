//! What a `catch` is given: the value that was thrown, or a map that tells of the error.

use rhai::{Dynamic, EvalAltResult, Map};

/// The value of an error that is caught in a file of this name. Unless a script has thrown it, its
/// position goes from the error into the value.
pub fn caught(error: &mut EvalAltResult, source: Option<&str>) -> Dynamic {
    if let EvalAltResult::ErrorRuntime(value, _) = error.unwrap_inner() {
        return value.clone();
    }
    let mut map = Map::new();
    let mut tell = |name: &str, value: Dynamic| {
        map.insert(name.into(), value);
    };
    let position = error.take_position();
    tell("message", error.to_string().into());
    if let Some(source) = source {
        tell("source", source.into());
    }
    if let Some(line) = position.line() {
        let column = position.position().unwrap_or(0);
        tell("line", (line as i64).into());
        tell("position", (column as i64).into());
    }
    let shown = format!("{error:?}");
    let name = shown.split('(').next().unwrap_or_default();
    tell("error", name.into());
    match &*error {
        EvalAltResult::ErrorFunctionNotFound(name, _)
        | EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => tell("function", name.into()),
        EvalAltResult::ErrorInFunctionCall(name, source, ..) => {
            tell("function", name.into());
            tell("source", source.into());
        }
        EvalAltResult::ErrorMismatchDataType(requested, actual, _)
        | EvalAltResult::ErrorMismatchOutputType(requested, actual, _) => {
            tell("requested", requested.into());
            tell("actual", actual.into());
        }
        EvalAltResult::ErrorArrayBounds(length, index, _)
        | EvalAltResult::ErrorStringBounds(length, index, _)
        | EvalAltResult::ErrorBitFieldBounds(length, index, _) => {
            tell("length", (*length as i64).into());
            tell("index", (*index).into());
        }
        EvalAltResult::ErrorVariableExists(name, _)
        | EvalAltResult::ErrorForbiddenVariable(name, _)
        | EvalAltResult::ErrorVariableNotFound(name, _)
        | EvalAltResult::ErrorPropertyNotFound(name, _)
        | EvalAltResult::ErrorDataRace(name, _)
        | EvalAltResult::ErrorAssignmentToConstant(name, _) => tell("variable", name.into()),
        EvalAltResult::ErrorIndexNotFound(index, _) => tell("index", index.clone()),
        EvalAltResult::ErrorInModule(name, ..) | EvalAltResult::ErrorModuleNotFound(name, _) => {
            tell("module", name.into());
        }
        EvalAltResult::ErrorDotExpr(name, _) => tell("property", name.into()),
        EvalAltResult::ErrorIndexingType(name, _) => tell("type", name.into()),
        _ => {}
    }
    Dynamic::from_map(map)
}
