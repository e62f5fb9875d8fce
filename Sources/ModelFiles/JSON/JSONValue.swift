/// A JSON document as a value. Objects keep the order of their keys; a repeated key is a parse error.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number without fraction or exponent that fits 64 bits.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// The member `key` of an object; nil for a missing key, a null, or no object.
  public subscript(key: String) -> JSONValue? {
    guard case .object(let object) = self, let value = object[key], value != .null else { return nil }
    return value
  }

  /// The string, or nil.
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  /// The boolean, or nil.
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The elements, or nil.
  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  /// The members, or nil.
  public var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }
  /// The whole number, or nil; 5.0 counts as 5.
  public var intValue: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }
  /// The number, whole or not, or nil.
  public var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

/// The members of a JSON object, in the document's order.
public struct JSONObject: Sendable, Equatable {
  /// The members in order.
  public private(set) var members: [(key: String, value: JSONValue)] = []
  private var index: [Key: Int] = [:]

  /// A key that is compared by its bytes: Swift's strings are equal when they are canonically equivalent, but "é" written
  /// in two ways is two keys in a vocabulary.
  private struct Key: Hashable {
    let text: String
    init(_ text: String) { self.text = text }
    static func == (left: Key, right: Key) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    func hash(into hasher: inout Hasher) {
      var text = text
      text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
  }

  /// An empty object.
  public init() {}

  /// An object of `members`; a later value replaces an earlier one of the same key.
  public init(_ members: [(String, JSONValue)]) { for (key, value) in members { self[key] = value } }

  /// The keys in order.
  public var keys: [String] { members.map(\.key) }

  /// The value of `key`; setting nil removes it.
  public subscript(key: String) -> JSONValue? {
    get { index[Key(key)].map { members[$0].value } }
    set {
      if let place = index[Key(key)] {
        if let newValue {
          members[place].value = newValue
        } else {
          members.remove(at: place)
          index = Dictionary(uniqueKeysWithValues: members.enumerated().map { (Key($1.key), $0) })
        }
      } else if let newValue {
        index[Key(key)] = members.count
        members.append((key, newValue))
      }
    }
  }

  public static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.members.count == right.members.count && left.members.allSatisfy { right[$0.key] == $0.value }
  }
}
