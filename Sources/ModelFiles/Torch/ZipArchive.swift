/// The directory of a ZIP archive whose entries are stored, not compressed, as `torch.save` writes them
/// (PKWARE APPNOTE 6.3.10; zip64 included).
///
/// Everything is checked when it is opened: the central directory lies before its end record, each local header
/// agrees with it, names are unique, and no two entries overlap.
struct ZipArchive {
  /// One file of the archive.
  struct Entry {
    /// The name, with `/` between folders.
    let name: String
    /// Where its bytes lie in the archive.
    let range: Range<Int>
    /// CRC-32 of its bytes.
    let checksum: UInt32
    /// The compression method; 0 is stored.
    let method: UInt16
  }

  /// The entries in the directory's order.
  let entries: [Entry]
  private let index: [String: Int]

  /// Whether `bytes` begin like a ZIP archive with entries.
  static func hasSignature(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count >= 4 && bytes.loadUnaligned(as: UInt32.self).littleEndian == localSignature
  }

  /// The name in the local header at byte 0, even of an archive that was cut short.
  static func firstName(_ bytes: UnsafeRawBufferPointer) -> String? {
    guard hasSignature(bytes), bytes.count >= 30 else { return nil }
    let length = Int(bytes.loadUnaligned(fromByteOffset: 26, as: UInt16.self).littleEndian)
    guard 30 + length <= bytes.count else { return nil }
    return String(decoding: bytes[30..<30 + length], as: UTF8.self)
  }

  /// Reads the directory of the archive that `bytes` are.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(ModelFileError) {
    let directory = try Directory(bytes, path: path)
    var cursor = FileCursor(bytes, range: directory.range, path: path, what: "the ZIP directory")
    var entries: [Entry] = []
    var index: [String: Int] = [:]
    var spans: [Range<Int>] = []
    while cursor.remaining > 0 {
      let record = try CentralRecord(&cursor)
      let (entry, span) = try record.entry(in: bytes, before: directory.range.lowerBound, path: path)
      guard index.updateValue(entries.count, forKey: entry.name) == nil else {
        throw ModelFileError(
          .duplicate, path: path, "the ZIP entry '\(printable(entry.name))' is there twice")
      }
      entries.append(entry)
      spans.append(span)
    }
    guard entries.count == directory.count else {
      throw ModelFileError(
        .badStructure, path: path,
        "the ZIP directory announces \(directory.count) entries and holds \(entries.count)")
    }
    try ZipArchive.checkDisjoint(spans, entries: entries, path: path)
    self.entries = entries
    self.index = index
  }

  /// The entry `name`, if there.
  subscript(name: String) -> Entry? { index[name].map { entries[$0] } }

  private static func checkDisjoint(
    _ spans: [Range<Int>], entries: [Entry], path: String
  ) throws(ModelFileError) {
    let order = spans.indices.sorted { spans[$0].lowerBound < spans[$1].lowerBound }
    for (before, after) in zip(order, order.dropFirst())
    where spans[before].upperBound > spans[after].lowerBound {
      throw ModelFileError(
        .badStructure, path: path,
        "the ZIP entries '\(printable(entries[before].name))' and '\(printable(entries[after].name))' overlap"
      )
    }
  }

  static let localSignature: UInt32 = 0x0403_4B50

  /// Where the central directory lies and how many entries it announces.
  private struct Directory {
    var range: Range<Int>
    var count: Int

    init(_ bytes: UnsafeRawBufferPointer, path: String) throws(ModelFileError) {
      let end = try Directory.endRecord(in: bytes, path: path)
      var cursor = FileCursor(bytes, range: end..<bytes.count, path: path, what: "the ZIP end record")
      _ = try cursor.take(4)
      let disks = (try cursor.integer(UInt16.self), try cursor.integer(UInt16.self))
      let counts = (try cursor.integer(UInt16.self), try cursor.integer(UInt16.self))
      let size = try cursor.integer(UInt32.self)
      let start = try cursor.integer(UInt32.self)
      if let large = try Directory.zip64(bytes, end: end, path: path) {
        self = large
        return
      }
      guard disks == (0, 0), counts.0 == counts.1 else {
        throw ModelFileError(.unsupported, path: path, "the ZIP archive is one part of several")
      }
      range = try Directory.checked(start: UInt64(start), size: UInt64(size), before: end, path: path)
      count = Int(counts.0)
    }

    /// Searches the end record backwards: it is followed by a comment of up to 65535 bytes.
    private static func endRecord(in bytes: UnsafeRawBufferPointer, path: String) throws(ModelFileError)
      -> Int
    {
      var place = bytes.count - 22
      let lowest = max(0, place - 0xFFFF)
      while place >= lowest {
        if bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self).littleEndian == 0x0605_4B50 {
          let comment = bytes.loadUnaligned(fromByteOffset: place + 20, as: UInt16.self).littleEndian
          if place + 22 + Int(comment) == bytes.count { return place }
        }
        place -= 1
      }
      throw ModelFileError(
        .truncated, path: path, "the ZIP archive has no directory at its end",
        advice: "the file is cut short; download or save it again")
    }

    /// The zip64 record, when the locator that announces it stands before the end record.
    private static func zip64(
      _ bytes: UnsafeRawBufferPointer, end: Int, path: String
    ) throws(ModelFileError) -> Directory? {
      guard end >= 20,
        bytes.loadUnaligned(fromByteOffset: end - 20, as: UInt32.self).littleEndian == 0x0706_4B50
      else { return nil }
      let place = bytes.loadUnaligned(fromByteOffset: end - 12, as: UInt64.self).littleEndian
      guard end >= 76, let start = Int(exactly: place), start <= end - 76,
        bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self).littleEndian == 0x0606_4B50
      else {
        throw ModelFileError(.badStructure, path: path, "the zip64 record is not at byte \(place)")
      }
      let what = "the zip64 record"
      var cursor = FileCursor(bytes, range: start + 16..<end - 20, path: path, what: what)
      let disks = (try cursor.integer(UInt32.self), try cursor.integer(UInt32.self))
      let counts = (try cursor.integer(UInt64.self), try cursor.integer(UInt64.self))
      let size = try cursor.integer(UInt64.self)
      let directory = try cursor.integer(UInt64.self)
      guard disks == (0, 0), counts.0 == counts.1 else {
        throw ModelFileError(.unsupported, path: path, "the ZIP archive is one part of several")
      }
      let range = try checked(start: directory, size: size, before: start, path: path)
      // A directory record takes 46 bytes or more: no count above that can be kept.
      guard let count = Int(exactly: counts.0), count <= range.count / 46 else {
        throw ModelFileError(.badStructure, path: path, "the ZIP directory cannot hold \(counts.0) entries")
      }
      return Directory(range: range, count: count)
    }

    private init(range: Range<Int>, count: Int) {
      self.range = range
      self.count = count
    }

    private static func checked(
      start: UInt64, size: UInt64, before limit: Int, path: String
    ) throws(ModelFileError) -> Range<Int> {
      let (end, overflow) = start.addingReportingOverflow(size)
      guard !overflow, end <= UInt64(limit) else {
        throw ModelFileError(
          .badStructure, path: path,
          "the ZIP directory (\(size) bytes at byte \(start)) does not lie before its end record at byte \(limit)",
          advice: "the file is cut short or damaged")
      }
      return Int(start)..<Int(end)
    }
  }
}
