import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The hashes that packing takes: of the whole decoded file, of each part, and of each part's frames. All three go over their bytes
/// in order, but together, a piece at a time: ``HashStream`` is fastest with three.
final class ArtifactHashes: @unchecked Sendable {  // one thread at a time adds a share
  /// Which of the hashes a thread takes: on few threads one takes all, on many the wait for one thread is what counts.
  enum Share { case all, whole, parts }

  private let whole = HashStream()
  private let part = HashStream()
  private let packed = HashStream()
  /// The decoded bytes that ``whole`` has.
  private var place = 0
  private let original: ByteRegion?
  /// Whether all bytes so far are those of the original at the same place.
  private(set) var repeatsOriginal: Bool
  /// The hashes of the parts that are done.
  private(set) var parts: [String] = []
  /// The hashes of their frames.
  private(set) var packedParts: [String] = []

  /// - Parameter original: a file that the decoded one may be a copy of.
  init(original: ByteRegion?) {
    self.original = original
    repeatsOriginal = original != nil
  }

  /// The shares of `threads` threads.
  static func shares(on threads: Int) -> [Share] { threads < 4 ? [.all] : [.whole, .parts] }

  /// Adds the next pieces, and the frames of pieces before them.
  func add(
    _ share: Share, _ pieces: [ArtifactPiece], packed frames: [(piece: ArtifactPiece, frame: PackedFrame?)]
  ) {
    for index in 0..<max(pieces.count, frames.count) {
      let piece = index < pieces.count ? pieces[index] : nil
      let waiting = index < frames.count && share != .whole ? frames[index] : nil
      var bytes: [(stream: HashStream, bytes: UnsafeRawBufferPointer)] = []
      if let piece {
        if share != .parts { bytes.append((whole, piece.contents.buffer)) }
        if share != .whole { bytes.append((part, piece.contents.buffer)) }
      }
      if let frame = waiting?.frame { bytes.append((packed, frame.bytes)) }
      withExtendedLifetime((piece, waiting)) { HashStream.add(bytes) }
      if let piece {
        if share != .parts { finishWhole(piece) }
        if share != .whole, piece.endsPart { parts.append(FileHash.hexadecimal(part.finish())) }
      }
      if let waiting, waiting.piece.endsPart { packedParts.append(FileHash.hexadecimal(packed.finish())) }
    }
  }

  /// The hash of the whole decoded file.
  func finish() -> String { FileHash.hexadecimal(whole.finish()) }

  private func finishWhole(_ piece: ArtifactPiece) {
    if piece.padding > 0 {
      [UInt8](repeating: 0, count: piece.padding).withUnsafeBytes { whole.add($0) }
    }
    if repeatsOriginal, let original { repeatsOriginal = isIn(original, piece) }
    place += piece.count
  }

  private func isIn(_ original: ByteRegion, _ piece: ArtifactPiece) -> Bool {
    guard piece.count <= original.count - place else { return false }
    return withExtendedLifetime(original) {
      let (there, here) = (original.base + place, piece.contents.base)
      guard there == here || memcmp(there, here, piece.contents.count) == 0 else { return false }
      let padding = original.buffer[(place + piece.contents.count)..<(place + piece.count)]
      return padding.allSatisfy { $0 == 0 }
    }
  }
}

/// What one frame holds: a slice of a part, and for a part's last frame the padding behind it.
struct ArtifactPiece: Sendable {
  let contents: ByteRegion
  let padding: Int
  let endsPart: Bool
  let isCodes: Bool
  /// Looks at the contents.
  var look: (@Sendable () -> Void)?
  var count: Int { contents.count + padding }
}
