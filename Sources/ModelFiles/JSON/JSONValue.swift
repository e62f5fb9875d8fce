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
///
/// Keys are told apart by their bytes, not by Swift's `==` for strings, for which "é" and "e\u{301}" are equal:
/// vocabularies hold both.
public struct JSONObject: Sendable, Equatable {
  /// The members in order.
  public private(set) var members: [(key: String, value: JSONValue)] = []
  /// Where each key is; empty while there are so few members that looking through them is faster.
  private var index: [Key: Int] = [:]
  private static let indexedFrom = 9

  /// An empty object.
  public init() {}

  /// An object of `members`; a later value replaces an earlier one of the same key.
  public init(_ members: [(String, JSONValue)]) { for (key, value) in members { self[key] = value } }

  /// The keys in order.
  public var keys: [String] { members.map(\.key) }

  /// The value of `key`; setting nil removes it.
  public subscript(key: String) -> JSONValue? {
    get { place(of: key).map { members[$0].value } }
    set {
      guard let newValue else {
        if let place = place(of: key) { remove(at: place) }
        return
      }
      if let place = place(of: key) { members[place].value = newValue } else { append(key, newValue) }
    }
  }

  /// An object of `members`, or the place of the first member whose key was there before.
  static func unique(_ members: [(key: String, value: JSONValue)]) -> Result<JSONObject, Repeat> {
    var object = JSONObject()
    object.members = members
    if members.count < indexedFrom {
      for place in members.indices {
        let key = Key(members[place].key)
        if members[..<place].contains(where: { Key($0.key) == key }) { return .failure(Repeat(place: place)) }
      }
    } else {
      object.index.reserveCapacity(members.count)
      for place in members.indices {
        guard object.index.updateValue(place, forKey: Key(members[place].key)) == nil else {
          return .failure(Repeat(place: place))
        }
      }
    }
    return .success(object)
  }

  /// A key that was there before.
  struct Repeat: Error {
    /// Which member it is.
    let place: Int
  }

  private func place(of key: String) -> Int? {
    members.count >= JSONObject.indexedFrom
      ? index[Key(key)] : members.firstIndex { Key($0.key) == Key(key) }
  }

  private mutating func append(_ key: String, _ value: JSONValue) {
    members.append((key, value))
    if members.count == JSONObject.indexedFrom {
      for (place, member) in members.enumerated() { index[Key(member.key)] = place }
    } else if members.count > JSONObject.indexedFrom {
      index[Key(key)] = members.count - 1
    }
  }

  private mutating func remove(at place: Int) {
    members.remove(at: place)
    index = [:]
    guard members.count >= JSONObject.indexedFrom else { return }
    for (place, member) in members.enumerated() { index[Key(member.key)] = place }
  }

  /// Equal members in any order.
  public static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.members.count == right.members.count && left.members.allSatisfy { right[$0.key] == $0.value }
  }

  /// A string compared by its bytes.
  private struct Key: Hashable, Sendable {
    let text: String
    init(_ text: String) { self.text = text }

    static func == (left: Key, right: Key) -> Bool {
      left.text.utf8.count == right.text.utf8.count && left.text.utf8.elementsEqual(right.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
      let text = text.utf8
      if text.withContiguousStorageIfAvailable({ hasher.combine(bytes: UnsafeRawBufferPointer($0)) }) == nil {
        for byte in text { hasher.combine(byte) }
      }
    }
  }
}
