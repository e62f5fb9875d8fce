package import ModelFiles

/// Reads numbers from a configuration with errors that name the key.
package struct ConfigurationReader {
  /// The object that is read.
  package let configuration: JSONValue

  /// No size in a configuration may exceed this, so that products of two fit 64 bits.
  package static let sizeLimit = 1 << 28
  /// No model has more blocks than this; it bounds what a crafted file can make us list.
  package static let blockLimit = 4096

  /// A reader of `configuration`.
  package init(_ configuration: JSONValue) { self.configuration = configuration }

  /// Whether the key is there, even as null.
  package func has(_ key: String) -> Bool { configuration.objectValue?[key] != nil }

  /// A size: a whole number from 1 to `limit`; nil when the key is missing or null.
  package func size(_ key: String, limit: Int = sizeLimit) throws -> Int? {
    guard let value = configuration[key] else { return nil }
    guard let number = value.intValue, number >= 1, number <= limit else {
      throw ModelError(
        .badConfiguration, "", "'\(key)' is \(value.text()); it must be a whole number from 1 to \(limit)")
    }
    return number
  }

  /// A size that must be there.
  package func required(_ key: String, limit: Int = sizeLimit) throws -> Int {
    guard let value = try size(key, limit: limit) else {
      throw ModelError(.badConfiguration, "", "the configuration has no '\(key)'")
    }
    return value
  }

  /// A number above zero, or `fallback` when the key is missing.
  package func positive(_ key: String, default fallback: Double) throws -> Double {
    try positive(key) ?? fallback
  }

  /// A number above zero; nil when the key is missing or null.
  package func positive(_ key: String) throws -> Double? {
    guard let value = configuration[key] else { return nil }
    guard let number = value.doubleValue, number > 0, number.isFinite else {
      throw ModelError(.badConfiguration, "", "'\(key)' is \(value.text()); it must be a number above 0")
    }
    return number
  }

  /// A boolean, or `fallback` when the key is missing.
  package func flag(_ key: String, default fallback: Bool) throws -> Bool {
    guard let value = configuration[key] else { return fallback }
    guard let flag = value.boolValue else {
      throw ModelError(.badConfiguration, "", "'\(key)' is \(value.text()); it must be true or false")
    }
    return flag
  }
}
