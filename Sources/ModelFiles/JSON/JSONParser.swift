#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Why a text is no JSON document that we accept, and where.
public struct JSONError: Error, Equatable, CustomStringConvertible {
  /// What is wrong.
  public let message: String
  /// The byte at which it was seen.
  public let offset: Int

  /// The failure `message` at byte `offset`.
  public init(message: String, offset: Int) {
    self.message = message
    self.offset = offset
  }

  /// The message with its place.
  public var description: String { "\(message) at byte \(offset)" }

  /// Whether the document is well-formed but for a repeated key.
  package var isRepeatedKey: Bool { message.hasSuffix(" is repeated") }
}

extension JSONValue {
  /// How deep arrays and objects may nest: bounds recursion, so a crafted file cannot overflow the stack.
  package static let depthLimit = 128

  /// Parses a whole document (RFC 8259). Stricter than most: a repeated key is an error, since readers disagree
  /// about which value counts.
  ///
  /// - Parameter allowsNonFinite: whether `NaN`, `Infinity` and `-Infinity` are numbers, as Python writes them.
  public init(parsing bytes: UnsafeRawBufferPointer, allowsNonFinite: Bool = false) throws(JSONError) {
    var parser = JSONParser(bytes: bytes, allowsNonFinite: allowsNonFinite)
    self = try parser.document()
  }

  /// Parses a whole document.
  public init(parsing text: String, allowsNonFinite: Bool = false) throws(JSONError) {
    let bytes = Array(text.utf8)
    let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { buffer in
      Result { () throws(JSONError) in try JSONValue(parsing: buffer, allowsNonFinite: allowsNonFinite) }
    }
    self = try result.get()
  }
}

private struct JSONParser {
  let bytes: UnsafeBufferPointer<UInt8>
  let allowsNonFinite: Bool
  var place = 0

  init(bytes: UnsafeRawBufferPointer, allowsNonFinite: Bool) {
    self.bytes = bytes.assumingMemoryBound(to: UInt8.self)
    self.allowsNonFinite = allowsNonFinite
  }

  mutating func document() throws(JSONError) -> JSONValue {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { throw failure("a byte order mark") }
    skipSpace()
    let value = try value(depth: 0)
    skipSpace()
    guard place == bytes.count else { throw failure("more text after the document") }
    return value
  }

  func failure(_ message: String) -> JSONError { JSONError(message: message, offset: place) }

  var current: UInt8? { place < bytes.count ? bytes[place] : nil }

  mutating func skipSpace() {
    while place < bytes.count {
      let byte = bytes[place]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      place += 1
    }
  }

  mutating func expect(_ byte: Unicode.Scalar) throws(JSONError) {
    guard current == UInt8(ascii: byte) else { throw failure("expected '\(byte)'") }
    place += 1
  }

  mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < JSONValue.depthLimit else { throw failure("nested too deep") }
    switch current {
    case UInt8(ascii: "{"): return .object(try object(depth: depth))
    case UInt8(ascii: "["): return .array(try array(depth: depth))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "N") where allowsNonFinite: return try word("NaN", .number(.nan))
    case UInt8(ascii: "I") where allowsNonFinite: return try word("Infinity", .number(.infinity))
    case nil: throw failure("the text ends early")
    default: return try number()
    }
  }

  mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
    let length = word.utf8CodeUnitCount
    guard length <= bytes.count - place, let base = bytes.baseAddress,
      memcmp(base + place, word.utf8Start, length) == 0
    else { throw failure("expected \(word)") }
    place += length
    return value
  }

  mutating func object(depth: Int) throws(JSONError) -> JSONObject {
    try expect("{")
    skipSpace()
    if current == UInt8(ascii: "}") {
      place += 1
      return JSONObject()
    }
    var members: [(key: String, value: JSONValue)] = []
    var starts: [Int] = []
    while true {
      skipSpace()
      starts.append(place)
      let key = try string()
      skipSpace()
      try expect(":")
      skipSpace()
      members.append((key, try value(depth: depth + 1)))
      skipSpace()
      if current == UInt8(ascii: ",") {
        place += 1
      } else {
        try expect("}")
        break
      }
    }
    switch JSONObject.unique(members) {
    case .success(let object): return object
    case .failure(let known):
      throw JSONError(
        message: "the key \"\(members[known.place].key)\" is repeated", offset: starts[known.place])
    }
  }

  mutating func array(depth: Int) throws(JSONError) -> [JSONValue] {
    try expect("[")
    var elements: [JSONValue] = []
    skipSpace()
    if current == UInt8(ascii: "]") {
      place += 1
      return elements
    }
    while true {
      skipSpace()
      elements.append(try value(depth: depth + 1))
      skipSpace()
      if current == UInt8(ascii: ",") {
        place += 1
      } else {
        try expect("]")
        return elements
      }
    }
  }

  // MARK: Numbers

  mutating func number() throws(JSONError) -> JSONValue {
    let start = place
    if current == UInt8(ascii: "-") {
      place += 1
      if allowsNonFinite, current == UInt8(ascii: "I") { return try word("Infinity", .number(-.infinity)) }
    }
    let first = place
    let digits = skipDigits()
    guard digits > 0 else { throw failure("expected a value") }
    guard digits == 1 || bytes[first] != UInt8(ascii: "0") else { throw failure("leading zero") }
    var isWhole = true
    if current == UInt8(ascii: ".") {
      isWhole = false
      place += 1
      guard skipDigits() > 0 else { throw failure("expected a digit") }
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      isWhole = false
      place += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { place += 1 }
      guard skipDigits() > 0 else { throw failure("expected a digit") }
    }
    if isWhole, digits <= 18 {  // cannot overflow
      var magnitude = 0
      for byte in bytes[first..<place] { magnitude = magnitude * 10 + Int(byte - 0x30) }
      return .integer(first == start ? magnitude : -magnitude)
    }
    let text = String(decoding: bytes[start..<place], as: UTF8.self)
    if isWhole, let integer = Int(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else {
      throw JSONError(message: "the number is out of range", offset: start)
    }
    return .number(number)
  }

  mutating func skipDigits() -> Int {
    let start = place
    while let byte = current, byte >= 0x30, byte <= 0x39 { place += 1 }
    return place - start
  }

  // MARK: Strings

  mutating func string() throws(JSONError) -> String {
    guard current == UInt8(ascii: "\"") else { throw failure("expected a string") }
    place += 1
    let start = place
    skipPlain()
    if current == UInt8(ascii: "\"") {  // most strings have no escapes, and need no copy
      place += 1
      return try text(UnsafeBufferPointer(rebasing: bytes[start..<place - 1]))
    }
    var decoded = Array(bytes[start..<place])
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        place += 1
        return try decoded.withUnsafeBufferPointer { buffer throws(JSONError) in try text(buffer) }
      case UInt8(ascii: "\\"):
        place += 1
        try escape(into: &decoded)
      case 0..<0x20: throw failure("a control character in a string")
      default:
        let start = place
        skipPlain()
        decoded.append(contentsOf: bytes[start..<place])
      }
    }
    throw failure("a string does not end")
  }

  /// Goes on to the next quote, backslash or control character.
  mutating func skipPlain() {
    while place < bytes.count {
      let byte = bytes[place]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { return }
      place += 1
    }
  }

  func text(_ buffer: UnsafeBufferPointer<UInt8>) throws(JSONError) -> String {
    guard let string = String(validating: buffer, as: UTF8.self) else {
      throw failure("a string is no UTF-8")
    }
    return string
  }

  mutating func escape(into text: inout [UInt8]) throws(JSONError) {
    guard let byte = current else { throw failure("the text ends early") }
    place += 1
    switch byte {
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if code & 0xFC00 == 0xD800, current == UInt8(ascii: "\\"), place + 1 < bytes.count,
        bytes[place + 1] == UInt8(ascii: "u")
      {
        place += 2
        let low = try hexadecimal()
        guard low & 0xFC00 == 0xDC00 else { throw failure("half a surrogate pair") }
        code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
      text.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    default: throw failure("an unknown escape")
    }
  }

  mutating func hexadecimal() throws(JSONError) -> UInt32 {
    guard bytes.count - place >= 4 else { throw failure("the text ends early") }
    var code: UInt32 = 0
    for byte in bytes[place..<place + 4] {
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw failure("no hexadecimal digit")
      }
      code = code << 4 | UInt32(digit)
    }
    place += 4
    return code
  }
}
