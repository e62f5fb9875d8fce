#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Read-only bytes that stay valid while the region lives: a part of a mapped file, or memory of its own.
///
/// Regions are shared freely between threads: nobody writes to one after it was made.
public final class ByteRegion: @unchecked Sendable {
  /// The first byte; aligned to 64 when the region owns its memory.
  public let base: UnsafeRawPointer
  /// The number of bytes.
  public let count: Int
  private let owner: AnyObject?
  private let allocation: UnsafeMutableRawPointer?
  /// Whether the bytes are those of a mapped file, which the system can read again at any time.
  private let isMapped: Bool

  /// A view of memory that `owner` keeps alive.
  ///
  /// - Parameter isMapped: whether it is a private mapping of a file.
  public init(base: UnsafeRawPointer, count: Int, owner: AnyObject, isMapped: Bool = false) {
    self.base = base
    self.count = count
    self.owner = owner
    self.allocation = nil
    self.isMapped = isMapped
  }

  /// Memory of its own, filled once by `body`.
  ///
  /// - Parameter body: writes all `count` bytes; the memory starts as zeros.
  public convenience init(count: Int, filledBy body: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows
  {
    try self.init(uninitializedCount: count) { memory in
      if let base = memory.baseAddress { memset(base, 0, memory.count) }
      try body(memory)
    }
  }

  /// Memory of its own, filled once by `body`, which must write every byte: large pieces are then touched first by the threads
  /// that fill them, and not twice.
  package init(uninitializedCount count: Int, filledBy body: (UnsafeMutableRawBufferPointer) throws -> Void)
    rethrows
  {
    let isLarge = count >= ByteRegion.largePage
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(count, 1), alignment: isLarge ? ByteRegion.largePage : 64)
    if isLarge { ByteRegion.wantLargePages(memory, count) }
    do {
      try body(UnsafeMutableRawBufferPointer(start: memory, count: count))
    } catch {
      memory.deallocate()
      throw error
    }
    self.base = UnsafeRawPointer(memory)
    self.count = count
    self.owner = nil
    self.allocation = memory
    self.isMapped = false
  }

  private static let largePage = 2 << 20

  /// Asks for large pages in `count` bytes that are about to be written, up to the last one that is filled: touching a tensor's memory
  /// for the first time in pages of 4 KB takes longer than decoding it.
  private static func wantLargePages(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    #if os(Linux)
      madvise(memory, count / largePage * largePage, Int32(MADV_HUGEPAGE))
    #endif
  }

  /// A copy of `bytes`.
  public convenience init(_ bytes: [UInt8]) {
    self.init(count: bytes.count) { target in bytes.withUnsafeBytes { target.copyMemory(from: $0) } }
  }

  deinit { allocation?.deallocate() }

  /// Calls `body` with the bytes, which stay valid until it returns.
  public func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(self) {} }
    return try body(buffer)
  }

  /// A copy of the bytes.
  public var array: [UInt8] { withBytes { Array($0) } }

  /// The bytes as a buffer; valid while the region lives, which the caller sees to (see ``withBytes(_:)``).
  public var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// The bytes at `range`, sharing this region's memory.
  ///
  /// - Precondition: `range` lies inside the region.
  public func slice(_ range: Range<Int>) -> ByteRegion {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "slice outside of its region")
    return ByteRegion(base: base + range.lowerBound, count: range.count, owner: self, isMapped: isMapped)
  }

  /// Takes a mapped file's pages out of this process's memory until somebody reads them again; they stay in the system's
  /// cache. For bytes that were read once and will not be soon, so that a model's size does not add to what is resident.
  public func letGo() {
    guard isMapped, count > 0 else { return }
    let page = max(1, sysconf(Int32(_SC_PAGESIZE)))
    let start = (Int(bitPattern: base) + page - 1) / page * page
    let end = (Int(bitPattern: base) + count) / page * page
    guard end > start, let pages = UnsafeMutableRawPointer(bitPattern: start) else { return }
    madvise(pages, end - start, MADV_DONTNEED)
  }
}
