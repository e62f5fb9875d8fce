package import ModelFiles

/// Looks up GGUF metadata by key, with errors that name the key.
package struct GGUFMetadata {
  private let values: [String: GGUFValue]
  /// The value of `general.architecture`, which begins the keys of the model's sizes.
  package let architecture: String

  /// The metadata of `entries`; a repeated key keeps its first value.
  package init(_ entries: [GGUFEntry]) {
    values = Dictionary(entries.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    architecture = if case .string(let name)? = values["general.architecture"] { name } else { "" }
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
    if let number = value.wholeNumber { return number }
    if case .int32s(let list) = value, let first = list.first, list.allSatisfy({ $0 == first }) { return Int(first) }
    if case .array(let list, _) = value, let first = list.first, list.allSatisfy({ $0 == first }),
      let number = first.wholeNumber
    {
      return number
    }
    throw ModelError(
      .unsupported, "", "the metadata's '\(full(key))' is no single whole number; sizes that differ are not run here")
  }

  /// A number, or nil when the key is missing or holds something else.
  package func number(_ key: String) -> Double? {
    switch self[key] {
    case .float32(let value)?: Double(value)
    case .float64(let value)?: value
    case let value?: value.wholeNumber.map { Double($0) }
    case nil: nil
    }
  }

  /// A text, or nil when the key is missing or holds something else.
  package func string(_ key: String) -> String? {
    if case .string(let value)? = self[key] { value } else { nil }
  }

  /// A boolean, or nil when the key is missing or holds something else.
  package func flag(_ key: String) -> Bool? {
    if case .bool(let value)? = self[key] { value } else { nil }
  }
}

extension GGUFValue {
  /// The number of any whole type that fits 64 bits with a sign; nil otherwise.
  package var wholeNumber: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(value)
    default: nil
    }
  }
}
