/// The list of frames at the end of a file in zstd's seekable format, version 0.1.0
/// (`contrib/seekable_format/zstd_seekable_compression_format.md` of zstd).
///
/// A skippable frame of magic 0x184D2A5E: one entry for each frame before it (u32 length, u32 decoded length, and u32
/// checksum where there are checksums), then u32 number of entries, u8 descriptor (bit 7: checksums), u32 magic
/// 0x8F92EAB1. All little endian.
struct SeekTable: Sendable, Equatable {
  /// One frame, compressed or skippable.
  struct Entry: Sendable, Equatable {
    /// The frame's length in the file.
    var packed: UInt32
    /// The length it decodes to; 0 for a skippable frame.
    var decoded: UInt32
    /// The low half of XXH64 of the decoded bytes: the same number that ends the frame itself.
    var checksum: UInt32?
  }

  /// XXH64 of no bytes, low half: what a skippable frame's entry has for a checksum.
  static let checksumOfNothing: UInt32 = 0x51D8_E999
  static let skippableMagic: UInt32 = 0x184D_2A5E
  static let footerMagic: UInt32 = 0x8F92_EAB1
  private static let footerSize = 9

  /// The frames in file order.
  var entries: [Entry]

  /// The table as its skippable frame; checksums are written when all entries have one.
  var bytes: [UInt8] {
    let hasChecksums = entries.allSatisfy { $0.checksum != nil }
    let size = entries.count * (hasChecksums ? 12 : 8) + SeekTable.footerSize
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size + 8)
    bytes.append(littleEndian: SeekTable.skippableMagic)
    bytes.append(littleEndian: UInt32(size))
    for entry in entries {
      bytes.append(littleEndian: entry.packed)
      bytes.append(littleEndian: entry.decoded)
      if hasChecksums, let checksum = entry.checksum { bytes.append(littleEndian: checksum) }
    }
    bytes.append(littleEndian: UInt32(entries.count))
    bytes.append(hasChecksums ? 0x80 : 0)
    bytes.append(littleEndian: SeekTable.footerMagic)
    return bytes
  }

  /// Whether `file` ends as a seekable file does.
  static func isPresent(in file: UnsafeRawBufferPointer) -> Bool {
    file.count >= footerSize + 8 && file.littleEndian32(at: file.count - 4) == footerMagic
  }

  /// The table at the end of `file`, and the byte it starts at. The entries' lengths add up to that byte, and no frame
  /// claims to decode to more than a frame of its length can.
  ///
  /// - Throws: ``ModelFileError`` of ``ModelFileError/Reason/corrupt``.
  static func read(from file: UnsafeRawBufferPointer, path: String) throws -> (table: SeekTable, start: Int) {
    func damaged(_ what: String) -> ModelFileError {
      ModelFileError(.corrupt, path: path, "seek table: \(what)", advice: "get the file again")
    }
    guard isPresent(in: file) else {
      throw damaged("none at the end of the file, which is truncated or damaged")
    }
    let descriptor = file[file.count - 5]
    guard descriptor & 0x7C == 0 else { throw damaged("descriptor \(descriptor) has reserved bits") }
    let width = descriptor & 0x80 != 0 ? 12 : 8
    let count = Int(file.littleEndian32(at: file.count - 9))
    let size = count * width + footerSize
    guard size + 8 <= file.count else { throw damaged("\(count) entries do not fit the file") }
    let start = file.count - size - 8
    guard file.littleEndian32(at: start) == skippableMagic, Int(file.littleEndian32(at: start + 4)) == size
    else {
      throw damaged("its frame does not fit its \(count) entries")
    }
    var entries: [Entry] = []
    entries.reserveCapacity(count)
    var total = 0
    for place in stride(from: start + 8, to: start + 8 + count * width, by: width) {
      let entry = Entry(
        packed: file.littleEndian32(at: place), decoded: file.littleEndian32(at: place + 4),
        checksum: width == 12 ? file.littleEndian32(at: place + 8) : nil)
      total += Int(entry.packed)  // at most 2^32 numbers below 2^32
      guard total <= start, Int(entry.decoded) <= Zstd.mostBytes(from: Int(entry.packed)) else {
        throw damaged("entry \(entries.count) has lengths that cannot be")
      }
      entries.append(entry)
    }
    guard total == start else { throw damaged("its frames end at byte \(total), but it starts at \(start)") }
    return (SeekTable(entries: entries), start)
  }
}
