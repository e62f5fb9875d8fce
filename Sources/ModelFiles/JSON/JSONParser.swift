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
  public var description: String { "\(message) at byte \(offset)" }
}

extension JSONValue {
  /// How deep arrays and objects may nest: bounds recursion, so a crafted file cannot overflow the stack.
  package static let depthLimit = 128

  /// Parses a whole document (RFC 8259). Stricter than most: a repeated key is an error, since readers disagree
  /// about which value counts.
  public init(parsing bytes: UnsafeRawBufferPointer) throws(JSONError) {
    var parser = JSONParser(bytes: bytes)
    self = try parser.document()
  }

  /// Parses a whole document.
  public init(parsing text: String) throws(JSONError) {
    let bytes = Array(text.utf8)
    let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { buffer in
      Result { () throws(JSONError) in try JSONValue(parsing: buffer) }
    }
    self = try result.get()
  }
}

private struct JSONParser {
  let bytes: UnsafeRawBufferPointer
  var place = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func document() throws(JSONError) -> JSONValue {
    skipSpace()
    let value = try value(depth: 0)
    skipSpace()
    guard place == bytes.count else { throw failure("more text after the document") }
    return value
  }

  func failure(_ message: String) -> JSONError { JSONError(message: message, offset: place) }

  var current: UInt8? { place < bytes.count ? bytes[place] : nil }

  mutating func skipSpace() {
    while place < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[place]) { place += 1 }
  }

  mutating func expect(_ byte: Character) throws(JSONError) {
    guard current == byte.asciiValue else { throw failure("expected '\(byte)'") }
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
    case nil: throw failure("the text ends early")
    default: return try number()
    }
  }

  mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
    let length = word.utf8CodeUnitCount
    guard place + length <= bytes.count, let base = bytes.baseAddress,
      memcmp(base + place, word.utf8Start, length) == 0
    else { throw failure("expected \(word)") }
    place += length
    return value
  }

  mutating func object(depth: Int) throws(JSONError) -> JSONObject {
    try expect("{")
    var object = JSONObject()
    skipSpace()
    if current == UInt8(ascii: "}") {
      place += 1
      return object
    }
    while true {
      skipSpace()
      let start = place
      let key = try string()
      guard object[key] == nil else {
        throw JSONError(message: "the key \"\(key)\" is repeated", offset: start)
      }
      skipSpace()
      try expect(":")
      skipSpace()
      object[key] = try value(depth: depth + 1)
      skipSpace()
      if current == UInt8(ascii: ",") {
        place += 1
      } else {
        try expect("}")
        return object
      }
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

  mutating func number() throws(JSONError) -> JSONValue {
    let start = place
    if current == UInt8(ascii: "-") { place += 1 }
    let digits = skipDigits()
    guard digits > 0 else { throw failure("expected a value") }
    guard digits == 1 || bytes[place - digits] != UInt8(ascii: "0") else { throw failure("leading zero") }
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

  mutating func string() throws(JSONError) -> String {
    guard current == UInt8(ascii: "\"") else { throw failure("expected a string") }
    place += 1
    var text: [UInt8] = []
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        place += 1
        guard let string = String(validating: text, as: UTF8.self) else { throw failure("a string is no UTF-8") }
        return string
      case UInt8(ascii: "\\"):
        place += 1
        try escape(into: &text)
      case 0..<0x20: throw failure("a control character in a string")
      default:
        text.append(byte)
        place += 1
      }
    }
    throw failure("a string does not end")
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
      text.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw failure("an unknown escape")
    }
  }

  mutating func hexadecimal() throws(JSONError) -> UInt32 {
    guard place + 4 <= bytes.count else { throw failure("the text ends early") }
    var code: UInt32 = 0
    for byte in bytes[place..<place + 4] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw failure("no hexadecimal digit") }
      code = code << 4 | UInt32(digit)
    }
    place += 4
    return code
  }
}
