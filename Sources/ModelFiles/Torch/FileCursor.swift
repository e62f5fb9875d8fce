/// A place in bytes that came from a file: every read is checked against what is left.
struct FileCursor {
  /// All the bytes.
  let bytes: UnsafeRawBufferPointer
  /// The next byte to read.
  private(set) var place: Int
  /// Where reading ends: the end of the part of the file that this cursor is for.
  let end: Int
  /// The file, for errors.
  let path: String
  /// What is being read, for errors: "the pickle".
  let what: String

  /// A cursor over `range`, which lies inside `bytes`.
  init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>, path: String, what: String) {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "range outside of the bytes")
    self.bytes = bytes
    self.place = range.lowerBound
    self.end = range.upperBound
    self.path = path
    self.what = what
  }

  /// The bytes that are left.
  var remaining: Int { end - place }

  /// The next `count` bytes.
  mutating func take(_ count: Int) throws(ModelFileError) -> UnsafeRawBufferPointer {
    guard count >= 0, count <= remaining else {
      throw ModelFileError(
        .truncated, path: path,
        "\(what) ends early: \(count) bytes wanted at byte \(place), \(remaining) are left",
        advice: "the file is cut short or damaged")
    }
    let part = UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
    place += count
    return part
  }

  /// The next byte.
  mutating func byte() throws(ModelFileError) -> UInt8 { try take(1)[0] }

  /// The next little-endian integer.
  mutating func integer<Value: FixedWidthInteger>(_: Value.Type) throws(ModelFileError) -> Value {
    let part = try take(MemoryLayout<Value>.size)
    return Value(littleEndian: part.loadUnaligned(as: Value.self))
  }

  /// A little-endian length of `Value`'s width, which must not exceed the bytes that are left after it.
  mutating func length<Value: FixedWidthInteger>(_: Value.Type) throws(ModelFileError) -> Int {
    let start = place
    let value = try integer(Value.self)
    guard let count = Int(exactly: value), count >= 0, count <= remaining else {
      throw ModelFileError(
        .truncated, path: path,
        "\(what): the length \(value) at byte \(start) is more than the \(remaining) bytes that are left")
    }
    return count
  }

  /// The bytes up to the next newline, which is skipped.
  mutating func line() throws(ModelFileError) -> UnsafeRawBufferPointer {
    guard let newline = bytes[place..<end].firstIndex(of: 0x0A) else {
      throw ModelFileError(.truncated, path: path, "\(what) ends inside the line at byte \(place)")
    }
    let part = UnsafeRawBufferPointer(rebasing: bytes[place..<newline])
    place = newline + 1
    return part
  }
}

/// `text` fit for one line of an error: control characters escaped, at most 120 characters.
func printable(_ text: String) -> String {
  var output = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == 120 { return output + "…" }
    let isPlain = scalar.value >= 0x20 && !(0x7F..<0xA0).contains(scalar.value)
    output +=
      isPlain && scalar.properties.generalCategory != .format
      ? String(scalar) : "\\u{\(String(scalar.value, radix: 16))}"
    count += 1
  }
  return output
}
