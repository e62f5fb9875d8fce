import ModelFiles

/// The part of JSON Schema (draft 2020-12) that docs/report.schema.json uses; an unknown keyword is an error, so that the
/// schema cannot say more than is checked.
struct SchemaValidator {
  let root: JSONValue
  private static let annotations: Set<String> = ["$schema", "title", "description", "$defs"]

  /// What is wrong with `value`, one line each; empty when it is valid.
  func errors(_ value: JSONValue, definition: String) -> [String] {
    errors(value, root["$defs"]?[definition] ?? .null, "")
  }

  private func errors(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
    guard let members = schema.objectValue?.members else { return ["\(path): no schema"] }
    return members.flatMap { key, rule in check(value, key, rule, schema, path) }
  }

  private func check(
    _ value: JSONValue, _ key: String, _ rule: JSONValue, _ schema: JSONValue, _ path: String
  ) -> [String] {
    switch key {
    case _ where Self.annotations.contains(key): return []
    case "$ref":
      let name = rule.stringValue?.split(separator: "/").last.map(String.init) ?? ""
      return errors(value, root["$defs"]?[name] ?? .null, path)
    case "enum":
      return rule.arrayValue?.contains(value) ?? false ? [] : ["\(path): not one of \(rule.text())"]
    case "const": return value == rule ? [] : ["\(path): not \(rule.text())"]
    case "type":
      let names = rule.stringValue.map { [$0] } ?? rule.arrayValue?.compactMap(\.stringValue) ?? []
      return names.contains { Self.isKind(value, $0) } ? [] : ["\(path): \(value.text()) is no \(names)"]
    case "oneOf", "anyOf":
      let valid = (rule.arrayValue ?? []).filter { errors(value, $0, path).isEmpty }.count
      return valid == 1 ? [] : ["\(path): \(valid) alternatives are valid"]
    case "items":
      return (value.arrayValue ?? []).enumerated().flatMap { errors($1, rule, "\(path)[\($0)]") }
    case "properties":
      return (rule.objectValue?.members ?? []).flatMap { name, rule -> [String] in
        guard let member = value.objectValue?[name] else { return [] }
        return errors(member, rule, "\(path).\(name)")
      }
    case "required":
      return (rule.arrayValue ?? []).compactMap(\.stringValue).filter { value.objectValue?[$0] == nil }
        .map { "\(path): '\($0)' is missing" }
    case "additionalProperties":
      let known = Set(schema["properties"]?.objectValue?.keys ?? [])
      let extra = (value.objectValue?.members ?? []).filter { !known.contains($0.key) }
      if rule == .bool(false) { return extra.map { "\(path): '\($0.key)' is not in the schema" } }
      return extra.flatMap { errors($0.value, rule, "\(path).\($0.key)") }
    case "pattern":
      guard rule == .string("^[0-9a-f]*$") else { return ["\(path): unknown pattern"] }
      let isHex = value.stringValue?.allSatisfy { $0.isHexDigit && !$0.isUppercase } ?? true
      return isHex ? [] : ["\(path): not hexadecimal"]
    default: return ["\(path): unknown keyword '\(key)'"]
    }
  }

  private static func isKind(_ value: JSONValue, _ name: String) -> Bool {
    switch (value, name) {
    case (.null, "null"), (.bool, "boolean"), (.string, "string"), (.array, "array"), (.object, "object"):
      true
    case (.integer, "integer"), (.integer, "number"), (.number, "number"): true
    default: false
    }
  }
}
