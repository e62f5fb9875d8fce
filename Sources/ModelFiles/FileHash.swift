import Crypto
public import TensorCore

/// SHA-256 of files and of bytes, in lower-case hexadecimal.
public enum FileHash {
  /// The hash of the regular file at `path`.
  ///
  /// - Throws: ``ModelFileError`` when it cannot be read.
  public static func sha256(ofFile path: String) throws -> String { try sha256(ofFiles: [path])[0] }

  /// The hashes of the regular files at `paths`, a few files at a time on the calling thread.
  ///
  /// - Throws: ``ModelFileError`` when one cannot be read.
  public static func sha256(ofFiles paths: [String]) throws -> [String] {
    var hashes: [String] = []
    while hashes.count < paths.count {
      let next = paths[hashes.count..<min(paths.count, hashes.count + HashStream.together)]
      let files = try next.map { path in
        do { return (stream: HashStream(), region: try MappedFile(path: path).region) } catch {
          throw ModelFileError(.system, path: path, "cannot be hashed: \(error)")
        }
      }
      for start in stride(from: 0, to: files.map(\.region.count).max() ?? 0, by: windowBytes) {
        let windows = files.filter { $0.region.count > start }.map { file in
          (
            stream: file.stream,
            window: file.region.slice(start..<min(file.region.count, start + windowBytes))
          )
        }
        HashStream.add(windows.map { ($0.stream, $0.window.buffer) })
        for window in windows { window.window.letGo() }
      }
      hashes += files.map { hexadecimal($0.stream.finish()) }
    }
    return hashes
  }

  /// The bytes of a file that are in memory at a time.
  private static let windowBytes = 4 << 20

  /// The hash of `region`.
  public static func sha256(of region: ByteRegion) -> String { region.withBytes { sha256(of: $0) } }

  /// The hash of `bytes`.
  public static func sha256(of bytes: UnsafeRawBufferPointer) -> String {
    var hash = SHA256()
    hash.update(bufferPointer: bytes)
    return hash.finalize().hexadecimal
  }

  /// Bytes as lower-case digits.
  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// The 32 bytes that 64 lower-case hexadecimal digits stand for, or nil.
  static func bytes(ofHexadecimal text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count == 64 else { return nil }
    var bytes: [UInt8] = []
    for place in stride(from: 0, to: 64, by: 2) {
      guard let high = value(digits[place]), let low = value(digits[place + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}

extension SHA256Digest {
  /// The digest as 64 lower-case digits.
  var hexadecimal: String { FileHash.hexadecimal(self) }
}
