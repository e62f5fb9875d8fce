extension ZipArchive {
  /// One record of the central directory.
  struct CentralRecord {
    private let flags: UInt16
    private let method: UInt16
    private let checksum: UInt32
    private let stored: UInt64
    private let full: UInt64
    private let header: UInt64
    private let rawName: UnsafeRawBufferPointer

    /// Reads the record at `cursor`.
    init(_ cursor: inout FileCursor) throws(ModelFileError) {
      let start = cursor.place
      guard try cursor.integer(UInt32.self) == 0x0201_4B50 else {
        throw ModelFileError(
          .badStructure, path: cursor.path, "the ZIP directory has no record at byte \(start)")
      }
      _ = try cursor.take(4)  // versions
      flags = try cursor.integer(UInt16.self)
      method = try cursor.integer(UInt16.self)
      _ = try cursor.take(4)  // time and date
      checksum = try cursor.integer(UInt32.self)
      let sizes = (try cursor.integer(UInt32.self), try cursor.integer(UInt32.self))
      let nameLength = Int(try cursor.integer(UInt16.self))
      let extraLength = Int(try cursor.integer(UInt16.self))
      let commentLength = Int(try cursor.integer(UInt16.self))
      _ = try cursor.take(8)  // disk, attributes
      let offset = try cursor.integer(UInt32.self)
      rawName = try cursor.take(nameLength)
      var large = Zip64Fields(try cursor.take(extraLength), path: cursor.path)
      _ = try cursor.take(commentLength)
      full = try large.resolve(sizes.1)
      stored = try large.resolve(sizes.0)
      header = try large.resolve(offset)
    }

    /// The entry that the record describes, checked against its local header, and all the bytes that it takes.
    ///
    /// - Parameter limit: where the directory begins; entries end before.
    func entry(
      in bytes: UnsafeRawBufferPointer, before limit: Int, path: String
    ) throws(ModelFileError) -> (Entry, span: Range<Int>) {
      let name = String(decoding: rawName, as: UTF8.self)
      let place = "the ZIP entry '\(printable(name))'"
      guard flags & 0x2041 == 0 else {
        throw ModelFileError(.unsupported, path: path, "\(place) is encrypted")
      }
      guard let start = Int(exactly: header), start <= limit - 30 else {
        throw ModelFileError(
          .badStructure, path: path, "\(place) begins at byte \(header), after the entries' end")
      }
      var cursor = FileCursor(bytes, range: start..<limit, path: path, what: place)
      let data = try checkLocalHeader(&cursor, place: place)
      guard let count = Int(exactly: stored), count <= limit - data else {
        throw ModelFileError(
          .truncated, path: path,
          "\(place) wants \(stored) bytes at byte \(data), the entries end at byte \(limit)")
      }
      guard method != 0 || stored == full else {
        throw ModelFileError(.badStructure, path: path, "\(place) is stored, yet its two sizes differ")
      }
      let range = data..<data + count
      return (Entry(name: name, range: range, checksum: checksum, method: method), start..<range.upperBound)
    }

    /// Compares the local header with the record; returns where the data begins.
    private func checkLocalHeader(_ cursor: inout FileCursor, place: String) throws(ModelFileError) -> Int {
      let path = cursor.path
      guard try cursor.integer(UInt32.self) == ZipArchive.localSignature else {
        throw ModelFileError(.badStructure, path: path, "\(place) has no header at byte \(header)")
      }
      _ = try cursor.take(2)  // version
      let localFlags = try cursor.integer(UInt16.self)
      let localMethod = try cursor.integer(UInt16.self)
      _ = try cursor.take(4)  // time and date
      let localChecksum = try cursor.integer(UInt32.self)
      let sizes = (try cursor.integer(UInt32.self), try cursor.integer(UInt32.self))
      let nameLength = Int(try cursor.integer(UInt16.self))
      let extraLength = Int(try cursor.integer(UInt16.self))
      let localName = try cursor.take(nameLength)
      var large = Zip64Fields(try cursor.take(extraLength), path: path)
      let localFull = try large.resolve(sizes.1)
      let localStored = try large.resolve(sizes.0)
      // With flag 8 the sizes stand behind the data, and the header may hold zeros in their place.
      let isDeferred = localFlags & 8 != 0 && localChecksum == 0 && localFull == 0 && localStored == 0
      let sizesAgree = isDeferred || (localChecksum == checksum && localFull == full && localStored == stored)
      guard localMethod == method, localName.elementsEqual(rawName), sizesAgree else {
        throw ModelFileError(.badStructure, path: path, "\(place): its header and the directory disagree")
      }
      return cursor.place
    }
  }

  /// The 64-bit values of an extra field, which replace 32-bit ones that read 0xFFFFFFFF, in order.
  private struct Zip64Fields {
    private var values: [UInt64] = []
    private let path: String

    init(_ extra: UnsafeRawBufferPointer, path: String) {
      self.path = path
      var place = 0
      while place + 4 <= extra.count {
        let kind = extra.loadUnaligned(fromByteOffset: place, as: UInt16.self).littleEndian
        let size = Int(extra.loadUnaligned(fromByteOffset: place + 2, as: UInt16.self).littleEndian)
        place += 4
        guard size <= extra.count - place else { return }
        if kind == 1 {
          values = (0..<size / 8).map {
            extra.loadUnaligned(fromByteOffset: place + 8 * $0, as: UInt64.self).littleEndian
          }
          return
        }
        place += size
      }
    }

    /// `value`, or the next 64-bit one if it says to look there.
    mutating func resolve(_ value: UInt32) throws(ModelFileError) -> UInt64 {
      guard value == .max else { return UInt64(value) }
      guard !values.isEmpty else {
        throw ModelFileError(.badStructure, path: path, "a ZIP entry lacks its 64-bit sizes")
      }
      return values.removeFirst()
    }
  }
}
