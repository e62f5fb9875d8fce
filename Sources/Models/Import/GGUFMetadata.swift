package import ModelFiles

/// Looks up GGUF metadata by key, with errors that name the key.
package struct GGUFMetadata {
  private let values: [String: GGUFValue]
  /// The value of `general.architecture`, which begins the keys of the model's sizes.
  package let architecture: String

  /// The metadata of `entries`; a repeated key keeps its first value.
  package init(_ entries: [GGUFEntry]) {
    values = Dictionary(entries.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    architecture = values["general.architecture"]?.stringValue ?? ""
  }

  /// The value of a key; a leading "." stands for the architecture's prefix.
  package subscript(key: String) -> GGUFValue? { values[full(key)] }

  private func full(_ key: String) -> String { key.hasPrefix(".") ? architecture + key : key }

  /// A whole number that must be there; an array that repeats one number counts as that number.
  package func required(_ key: String) throws -> Int {
    guard let value = try integer(key) else {
      throw ModelError(.badConfiguration, "", "the metadata has no '\(full(key))'")
    }
    return value
  }

  /// A whole number, or nil when the key is missing.
  package func integer(_ key: String) throws -> Int? {
    guard let value = self[key] else { return nil }
    if let number = value.intValue { return number }
    if let list = value.intsValue, let first = list.first, list.allSatisfy({ $0 == first }) { return first }
    throw ModelError(
      .unsupported, "",
      "the metadata's '\(full(key))' is no single whole number; sizes that differ are not run here")
  }

  /// A number, or nil when the key is missing or holds something else.
  package func number(_ key: String) -> Double? { self[key]?.doubleValue }

  /// A text, or nil when the key is missing or holds something else.
  package func string(_ key: String) -> String? { self[key]?.stringValue }

  /// A boolean, or nil when the key is missing or holds something else.
  package func flag(_ key: String) -> Bool? { self[key]?.boolValue }
}
