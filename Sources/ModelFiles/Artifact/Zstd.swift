import CZstd
import TensorCore

/// The few calls of libzstd that artifacts need, with errors instead of codes.
enum Zstd {
  /// What libzstd says is wrong with a frame.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// The magic number of a compressed frame (RFC 8878 §3.1.1).
  static let frameMagic: UInt32 = 0xFD2F_B528
  /// The lowest magic number of a skippable frame; there are 16 (RFC 8878 §3.1.2).
  static let skippableMagic: UInt32 = 0x184D_2A50
  /// The most bytes that a block decodes to (RFC 8878 §3.1.1.2).
  static let blockLimit = 128 << 10
  /// The library's version: "1.5.4".
  static var version: String { String(cString: ZSTD_versionString()) }

  /// Whether `bytes` start with a compressed or skippable frame.
  static func startsFrame(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= 8 else { return false }
    let magic = bytes.littleEndian32(at: 0)
    return magic == frameMagic || magic & ~15 == skippableMagic
  }

  /// The length of the frame that `bytes` start with, by walking over its blocks.
  static func frameLength(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> Int {
    try checked(ZSTD_findFrameCompressedSize(bytes.baseAddress, bytes.count))
  }

  /// What a frame's header says about its decoded length.
  enum ContentSize: Equatable {
    case known(Int)
    /// The frame was streamed by a program that did not know.
    case unknown
    case damaged
  }

  /// Whether a frame ends with a checksum of its contents (RFC 8878 §3.1.1.1.1).
  static func hasChecksum(_ frame: UnsafeRawBufferPointer) -> Bool {
    frame.count >= 12 && frame.littleEndian32(at: 0) == frameMagic && frame[4] & 4 != 0
  }

  /// The decoded length that a frame's header states; 0 for skippable frames.
  static func contentSize(_ frame: UnsafeRawBufferPointer) -> ContentSize {
    let size = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
    if size == UInt64.max { return .unknown }  // ZSTD_CONTENTSIZE_UNKNOWN; _ERROR is the number before it
    return Int(exactly: size).map { .known($0) } ?? .damaged
  }

  /// The most bytes that a valid frame of `packed` bytes can decode to: a block takes at least 4 bytes.
  static func mostBytes(from packed: Int) -> Int {
    let (bytes, overflow) = (packed / 4 + 1).multipliedReportingOverflow(by: blockLimit)
    return overflow ? Int.max : bytes
  }

  /// Decodes one frame that has to fill `target`.
  ///
  /// - Parameter isChecked: whether its checksum is compared; not where the caller has a better one of the same bytes.
  static func decode(
    _ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, isChecked: Bool = true
  ) throws(Failure) {
    guard try frameLength(frame) == frame.count else {
      throw Failure(description: "the frame's length is wrong")
    }
    let count = try ZstdDecompressor.withContext(isChecked: isChecked) { context in
      ZSTD_decompressDCtx(context, target.baseAddress, target.count, frame.baseAddress, frame.count)
    }
    guard count == target.count else {
      throw Failure(description: "\(count) bytes instead of \(target.count)")
    }
  }

  /// Decodes what fills `target` from the start of a frame, which is longer. The frame's checksum is not looked at.
  static func decodeStart(_ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer)
    throws(Failure)
  {
    let count = try ZstdDecompressor.withContext(isChecked: false) { context in
      ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
      var input = ZSTD_inBuffer(src: frame.baseAddress, size: frame.count, pos: 0)
      var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
      while output.pos < output.size {
        let before = (input.pos, output.pos)
        let result = ZSTD_decompressStream(context, &output, &input)
        if ZSTD_isError(result) != 0 { return result }
        if before == (input.pos, output.pos) || result == 0 { break }
      }
      ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
      return output.pos
    }
    guard count == target.count else {
      throw Failure(description: "\(count) bytes instead of \(target.count)")
    }
  }

  fileprivate static func checked(_ result: Int) throws(Failure) -> Int {
    guard ZSTD_isError(result) == 0 else {
      throw Failure(description: String(cString: ZSTD_getErrorName(result)))
    }
    return result
  }
}

/// Contexts for decoding, which go from one frame to the next.
private enum ZstdDecompressor {
  /// A context that nobody else has.
  private struct Context: @unchecked Sendable {
    let handle: OpaquePointer
  }

  private static let idle = Locked<[Context]>([])
  /// libzstd's number for “ignore checksums” (`ZSTD_d_forceIgnoreChecksum`); a library that does not know it compares them.
  private static let ignoringChecksums = ZSTD_d_experimentalParam3

  /// Calls `body` with a context, and checks what it returns.
  static func withContext(
    isChecked: Bool, _ body: (OpaquePointer) -> Int
  ) throws(Zstd.Failure) -> Int {
    guard let context = idle.withLock({ $0.popLast() }) ?? ZSTD_createDCtx().map(Context.init) else {
      throw Zstd.Failure(description: "out of memory")
    }
    ZSTD_DCtx_setParameter(context.handle, ignoringChecksums, isChecked ? 0 : 1)
    defer { idle.withLock { $0.append(context) } }
    return try Zstd.checked(body(context.handle))
  }
}

/// Compresses frames at one level, on any number of threads: each call borrows a context from a pool.
final class ZstdCompressor: Sendable {
  private let level: Int
  private let idle = Locked<[Context]>([])
  private let idleForCodes = Locked<[Context]>([])
  /// From this level on, time is no object.
  private static let slow = 10

  /// A compressor of `level`, 1 to 22.
  init(level: Int) { self.level = level }

  /// One frame that holds `source`, with its size and checksum. The same bytes give the same frame.
  func frame(of source: UnsafeRawBufferPointer) throws -> PackedFrame {
    let context = try idle.withLock { $0.popLast() } ?? Context([(ZSTD_c_compressionLevel, level)])
    defer { idle.withLock { $0.append(context) } }
    return try context.frame(of: source)
  }

  /// The same for codes of which only the frequencies matter: nearly no matches are looked for, since short ones that arise
  /// by chance cost more than they save. At slow levels the smaller of both frames.
  func frame(ofCodes source: UnsafeRawBufferPointer) throws -> PackedFrame {
    let context = try idleForCodes.withLock { $0.popLast() } ?? Context(ZstdCompressor.literals)
    defer { idleForCodes.withLock { $0.append(context) } }
    let plain = try context.frame(of: source)
    guard level >= ZstdCompressor.slow else { return plain }
    let searched = try frame(of: source)
    return searched.count < plain.count ? searched : plain
  }

  private static let literals = [
    (ZSTD_c_strategy, 1), (ZSTD_c_minMatch, 7), (ZSTD_c_hashLog, 6), (ZSTD_c_targetLength, 0),
    (ZSTD_c_windowLog, 20),
  ]

  private final class Context: @unchecked Sendable {  // one thread at a time has it
    private let handle: OpaquePointer

    init(_ parameters: [(ZSTD_cParameter, Int)]) throws {
      guard let handle = ZSTD_createCCtx() else { throw Zstd.Failure(description: "out of memory") }
      self.handle = handle
      for (name, value) in parameters {
        _ = try Zstd.checked(ZSTD_CCtx_setParameter(handle, name, Int32(value)))
      }
      _ = try Zstd.checked(ZSTD_CCtx_setParameter(handle, ZSTD_c_checksumFlag, 1))
    }

    deinit { ZSTD_freeCCtx(handle) }

    func frame(of source: UnsafeRawBufferPointer) throws -> PackedFrame {
      try PackedFrame(room: ZSTD_compressBound(source.count)) { room in
        try Zstd.checked(
          ZSTD_compress2(handle, room.baseAddress, room.count, source.baseAddress, source.count))
      }
    }
  }
}

/// A compressed frame in memory that goes from one frame to the next: fresh memory costs a page fault for every 4 KiB.
final class PackedFrame: @unchecked Sendable {  // nobody writes to it after it was made
  private let memory: UnsafeMutableRawPointer
  private let room: Int
  /// The number of bytes.
  let count: Int

  /// A frame that `fill` writes into `room` bytes.
  ///
  /// - Parameter fill: returns the frame's length.
  init(room: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Int) throws {
    let memory = ReusedMemory.take(room)
    do { count = try fill(UnsafeMutableRawBufferPointer(start: memory, count: room)) } catch {
      ReusedMemory.give(back: memory, room)
      throw error
    }
    (self.memory, self.room) = (memory, room)
  }

  deinit { ReusedMemory.give(back: memory, room) }

  /// The frame's bytes, valid while it lives.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }
  /// The frame's last four bytes: the checksum of its contents.
  var checksum: UInt32 { bytes.littleEndian32(at: count - 4) }
}

extension UnsafeRawBufferPointer {
  /// The number at `offset`, which need not be aligned.
  ///
  /// - Precondition: four bytes are there.
  func littleEndian32(at offset: Int) -> UInt32 {
    UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: UInt32) {
    for shift in stride(from: 0, to: 32, by: 8) { append(UInt8(truncatingIfNeeded: value >> shift)) }
  }
}
