import Crypto
public import TensorCore

/// SHA-256 of files and of bytes, in lower-case hexadecimal.
public enum FileHash {
  /// The hash of the regular file at `path`.
  ///
  /// - Throws: ``ModelFileError`` when it cannot be read.
  public static func sha256(ofFile path: String) throws -> String {
    do {
      let region = try MappedFile(path: path).region
      var hash = SHA256()
      for start in stride(from: 0, to: region.count, by: windowBytes) {
        let window = region.slice(start..<min(region.count, start + windowBytes))
        hash.update(bufferPointer: window.buffer)
        window.letGo()
      }
      return withExtendedLifetime(region) { hash.finalize().hexadecimal }
    } catch {
      throw ModelFileError(.system, path: path, "cannot be hashed: \(error)")
    }
  }

  /// The bytes of a file that are in memory at a time.
  private static let windowBytes = 16 << 20

  /// The hash of `region`.
  public static func sha256(of region: ByteRegion) -> String { region.withBytes { sha256(of: $0) } }

  /// The hash of `bytes`.
  public static func sha256(of bytes: UnsafeRawBufferPointer) -> String {
    var hash = SHA256()
    hash.update(bufferPointer: bytes)
    return hash.finalize().hexadecimal
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
  var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
