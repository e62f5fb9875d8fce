import ModelFiles
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Why a document is no report that we read.
public struct ReportError: Error, Equatable, CustomStringConvertible {
  /// Where in the document: "stages[1].size.packedBytes".
  public var path: String
  /// What is wrong.
  public var message: String
  /// One line: the place, and what is wrong.
  public var description: String { path.isEmpty ? message : "\(path): \(message)" }

  /// A failure at `path`.
  public init(path: String, _ message: String) {
    self.path = path
    self.message = message
  }
}

/// Reads the members of an object; every error names the member's full path.
struct ReportFields {
  private let object: JSONObject
  private let path: String

  init(_ value: JSONValue, path: String = "") throws {
    guard let object = value.objectValue else { throw ReportError(path: path, "expected an object") }
    self.object = object
    self.path = path
  }

  func place(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  func value(_ key: String) throws -> JSONValue {
    guard let value = object[key] else { throw ReportError(path: place(key), "missing") }
    return value
  }

  /// A member that may be null, but not missing.
  func optional<Value>(_ key: String, _ read: (String) throws -> Value) throws -> Value? {
    try value(key) == .null ? nil : try read(key)
  }

  /// A member that may be missing, too: one that the first documents of this version did not have.
  func added<Value>(_ key: String, _ read: (String) throws -> Value) throws -> Value? {
    object[key] == nil ? nil : try optional(key, read)
  }

  func string(_ key: String) throws -> String { try expect(value(key).stringValue, key, "a string") }
  /// A string that reports of earlier versions lack.
  func string(_ key: String, default fallback: String) throws -> String {
    object[key] == nil ? fallback : try string(key)
  }
  func int(_ key: String) throws -> Int { try expect(value(key).intValue, key, "a whole number") }
  func double(_ key: String) throws -> Double { try expect(value(key).doubleValue, key, "a number") }
  func bool(_ key: String) throws -> Bool { try expect(value(key).boolValue, key, "true or false") }

  func fields(_ key: String) throws -> ReportFields { try ReportFields(value(key), path: place(key)) }

  func array<Element>(_ key: String, _ read: (JSONValue, String) throws -> Element) throws -> [Element] {
    let elements = try expect(value(key).arrayValue, key, "an array")
    return try elements.enumerated().map { try read($1, "\(place(key))[\($0)]") }
  }

  func strings(_ key: String) throws -> [String] {
    try array(key) { value, place in
      guard let text = value.stringValue else { throw ReportError(path: place, "expected a string") }
      return text
    }
  }

  func ints(_ key: String) throws -> [Int] {
    try array(key) { value, place in
      guard let number = value.intValue else { throw ReportError(path: place, "expected a whole number") }
      return number
    }
  }

  func stringMap(_ key: String) throws -> [String: String] {
    let object = try expect(value(key).objectValue, key, "an object")
    var map: [String: String] = [:]
    for (name, value) in object.members {
      guard let text = value.stringValue else {
        throw ReportError(path: "\(place(key)).\(name)", "expected a string")
      }
      map[name] = text
    }
    return map
  }

  /// Checks the document's kind and version.
  func checkSchema(_ name: String, version: Int) throws {
    let found = try string("schema")
    guard found == name else { throw ReportError(path: place("schema"), "'\(found)', expected '\(name)'") }
    let number = try int("schemaVersion")
    guard number == version else {
      throw ReportError(
        path: place("schemaVersion"),
        "version \(number), this program reads \(version)\(number > version ? "; use a newer one" : "")")
    }
  }

  private func expect<Value>(_ value: Value?, _ key: String, _ kind: String) throws -> Value {
    guard let value else { throw ReportError(path: place(key), "expected \(kind)") }
    return value
  }
}

extension JSONValue {
  /// A number rounded to 10 significant digits: far below any standard error, and free of the noise of the last bits.
  /// Null for nil and for what is not finite.
  static func rounded(_ value: Double?) -> JSONValue {
    guard let value, value.isFinite else { return .null }
    return .number(Double(NumberFormat.scientific(value, digits: 10)) ?? value)
  }

  static func optional(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }
  static func optional(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
  static func strings(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }
  static func map(_ values: [String: String]) -> JSONValue {
    .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
  }
  static func fields(_ members: [(String, JSONValue)]) -> JSONValue { .object(JSONObject(members)) }
}
